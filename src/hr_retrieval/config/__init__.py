"""What a config may hold, what its parts are, and how a command line becomes one."""
