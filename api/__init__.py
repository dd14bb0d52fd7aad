"""The doors: command line, and later HTTP and pages. Everything is wired together here."""
