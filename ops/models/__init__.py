"""Networks and their checkpoints: TAM, TANet, the recognizer."""
