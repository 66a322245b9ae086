"""Pages as HTML, Markdown or text for a terminal. A renderer knows blocks, and nothing of what they are about."""
