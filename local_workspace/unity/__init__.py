"""Unity-Catalog-shaped metadata: names, owners, comments and listings. No grants."""
