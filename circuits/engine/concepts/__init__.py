"""Two or three concepts: do they act together, through which gate, and how certain is that?"""
