"""The policies, one file each: settings, state, handler."""
