"""A recognizer behind HTTP, for browsers and for clients of OpenAI's transcription API."""
