"""Exchange with other tools: attribution-graph JSON, circuit-tracer's files, GraphML, GEXF, CSV.

::

    exchange.py        import_graph, export_graph, validate: which format, what was lost
    read_json.py       a file → a document, errors with line and column
    attribution_graph.schema.json, schema.py, problems.py
                       what is wrong with a document, each with its JSON path
    node_ids.py        their node ids, types and Cantor numbers ↔ our node names
    document_nodes.py, document_links.py, document.py
                       a document → nodes, edges, a graph
    write_nodes.py, write.py
                       a graph → a document
    extra.py           what the format has no place for, in the document's own object `circuits`
    kept.py            what we would not write ourselves, so that nothing read is lost
    archive.py         a PyTorch zip file → arrays, with nothing run
    circuit_tracer.py  circuit-tracer's .pt → a graph
    networks.py, csv.py  GraphML and GEXF through networkx, CSV through polars
"""
