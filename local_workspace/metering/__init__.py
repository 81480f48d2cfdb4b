"""What the work cost: usage records, list prices, and the ``system`` tables made of them."""
