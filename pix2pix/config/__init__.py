"""Options of every command: typed, validated, documented."""
