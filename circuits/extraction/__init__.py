"""From a prompt to a `Trace` (torch): active features, what they read and write, what is frozen."""
