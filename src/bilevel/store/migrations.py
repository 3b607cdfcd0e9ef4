"""The schema, as numbered steps. A step that was released is never changed; a new one is added behind it."""

STEERED, TIMED = 3, 4  # the formats from which on there are acts, and stints
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
    """
    CREATE TABLE calls (
        number INTEGER PRIMARY KEY, request TEXT NOT NULL, seed INTEGER NOT NULL, repeat INTEGER NOT NULL,
        level TEXT NOT NULL, branch TEXT NOT NULL, trial INTEGER NOT NULL, purpose TEXT NOT NULL, asked TEXT NOT NULL,
        model TEXT NOT NULL, finish TEXT NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, money REAL,
        at REAL NOT NULL, seconds REAL NOT NULL, record TEXT NOT NULL, UNIQUE (request, seed, repeat)
    );
    CREATE TABLE events (
        position INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, level TEXT NOT NULL, text TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE acts (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, what TEXT NOT NULL, text TEXT NOT NULL,
        value REAL, source TEXT NOT NULL, levels TEXT NOT NULL, author TEXT NOT NULL, at REAL NOT NULL
    );
    CREATE TABLE effects (
        act INTEGER NOT NULL, branch TEXT NOT NULL, number INTEGER NOT NULL, outcome TEXT NOT NULL, said TEXT NOT NULL,
        at REAL NOT NULL, PRIMARY KEY (act, branch)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE stints (
        branch TEXT NOT NULL, number INTEGER NOT NULL, worker INTEGER NOT NULL, began REAL NOT NULL,
        ended REAL NOT NULL, session INTEGER NOT NULL, PRIMARY KEY (branch, number)
    ) WITHOUT ROWID;
    """,
)
