"""Try edits by ear: a plain and a steered take side by side, drawn while they are made."""
