"""The served app: a folder of runs to look at, ask and add to, in a browser or through an API.

What is served is one folder. Runs are named by their place below it and by nothing else; a question, a
query in SQL, an intervention and a new prompt go through the same functions as the commands of that name.
"""
