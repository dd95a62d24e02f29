"""CSV files of products: their columns, the import and the export."""
