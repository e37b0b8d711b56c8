"""Drop-in modules for people who come from other tools: their names and their rules, on tinypyr's core."""
