/** A graph of the document with what is looked up often: rows by name, edges by end. */
import type { GraphPart, ViewerDocument } from "./document";

export class Model {
  readonly graph: GraphPart;
  readonly against: Model | null;
  readonly rowOf: ReadonlyMap<string, number>;
  /** Edges into and out of each node, the strongest first: edge numbers. */
  readonly into: readonly number[][];
  readonly outOf: readonly number[][];
  /** Hyperedge rows by the node rows that are, or are part of, their members; and by target. */
  readonly combining: ReadonlyMap<number, number[]>;

  constructor(
    readonly document: ViewerDocument,
    graph: GraphPart = document.graph,
  ) {
    this.graph = graph;
    this.against = graph === document.graph && document.against ? new Model(document, document.against) : null;
    const { nodes, edges } = graph;
    this.rowOf = new Map(nodes.node.map((name, row) => [name, row]));
    this.into = nodes.node.map(() => []);
    this.outOf = nodes.node.map(() => []);
    for (let edge = 0; edge < edges.weight.length; edge++) {
      this.into[edges.target[edge]].push(edge);
      this.outOf[edges.source[edge]].push(edge);
    }
    const combining = new Map<number, number[]>();
    graph.hyperedges.members.forEach((members, hyperedge) => {
      for (const row of new Set(members.flatMap((member) => this.rowsOf(member)))) {
        const known = combining.get(row);
        if (known) known.push(hyperedge);
        else combining.set(row, [hyperedge]);
      }
    });
    this.combining = combining;
  }

  get size(): number {
    return this.graph.nodes.node.length;
  }

  /** Node rows a name means: the node itself, or the nodes of a player or concept of that name. */
  rowsOf(name: string): number[] {
    const row = this.rowOf.get(name);
    if (row !== undefined) return [row];
    const part = this.graph.players[name] ?? this.graph.concepts.find((one) => one.name === name)?.nodes ?? [];
    return part.map((node) => this.rowOf.get(node)).filter((found): found is number => found !== undefined);
  }

  /** |weight| of an edge as a share of all that flows into its target, parts left out included. */
  share(edge: number): number {
    const { edges, nodes } = this.graph;
    const incoming = nodes.incoming[edges.target[edge]];
    return incoming > 0 ? Math.abs(edges.weight[edge]) / incoming : 0;
  }
}
