"""Full-text search and filtered lists of products."""
