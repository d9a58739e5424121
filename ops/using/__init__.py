"""What is done with a trained model: run it on videos, look inside, report, convert, export."""
