"""Language models (torch): loading, and the parts attribution needs, under one set of names."""
