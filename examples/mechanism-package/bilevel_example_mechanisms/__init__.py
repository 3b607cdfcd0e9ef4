raise ImportError("bilevel reads the sources in here; it imports nothing")
