"""TANet in parts: the TAM module, the recognizer, readers of frames and videos, and the loops around them."""
