"""A recognizer behind HTTP, for clients of OpenAI's transcriptions and for a browser."""
