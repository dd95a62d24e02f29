"""Full-text search and filtered lists of products, in three stages: understanding, planning, fetching."""
