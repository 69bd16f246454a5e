"""Things that a person showed once and named: a store of views, and a Grounder that knows their names."""
