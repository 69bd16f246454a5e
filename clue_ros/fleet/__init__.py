"""One model for many robots: the server behind HTTP, and the Grounder that asks it."""
