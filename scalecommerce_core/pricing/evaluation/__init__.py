"""What past prices and sales can teach, before anything learns from them."""
