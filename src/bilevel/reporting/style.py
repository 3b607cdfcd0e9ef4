"""What a report's page has beside what all pages of a run have: words in tables, sources, its last line."""

MORE = """
body { max-width: 70rem; }
h3 { margin-top: 1.2rem; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 12rem; max-width: 34rem; }
td { vertical-align: top; }
td.plot, th.plot { min-width: 12rem; width: 12rem; }
pre { max-height: 30rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .87rem; border-top: 1px solid var(--edge); }
@media print {
  td.long { min-width: 7rem; } td.plot, th.plot { min-width: 7rem; width: 7rem; }
}
""".strip()
