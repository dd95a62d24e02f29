"""Evaluation of past prices and sales as data for estimating elasticities."""
