"""What the commands do, as functions: files in, facts out."""
