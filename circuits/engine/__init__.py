"""The attribution engine (JAX): exact first-order effects between features, streamed row by row."""
