"""`scalecommerce up`: the whole engine on one machine."""
