"""The schema, as numbered steps. A step that was released is never changed; a new one is added behind it."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE branches (
        position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, level TEXT NOT NULL, parent TEXT, at INTEGER NOT NULL
    );
    CREATE TABLE candidates (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE texts (hash TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE trials (
        branch TEXT NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (branch, number)
    ) WITHOUT ROWID;
    CREATE TABLE pendings (
        branch TEXT NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (branch, number)
    ) WITHOUT ROWID;
    CREATE TABLE runs (
        harness TEXT NOT NULL, candidate TEXT NOT NULL, rung TEXT NOT NULL, seed INTEGER NOT NULL, record TEXT NOT NULL,
        PRIMARY KEY (harness, candidate, rung, seed)
    ) WITHOUT ROWID;
    """,
)
