/** A graph of the document with what is looked up often: rows by name, edges by end, orders by size. */
import type { GraphPart, ViewerDocument } from "./document";

export class Model {
  readonly graph: GraphPart;
  readonly against: Model | null;
  readonly rowOf: ReadonlyMap<string, number>;
  /** Edges into and out of each node, the strongest first: edge numbers. */
  readonly into: readonly number[][];
  readonly outOf: readonly number[][];
  /** Hyperedge rows by the node rows that are, or are part of, their members. */
  readonly combining: ReadonlyMap<number, number[]>;
  /** Node rows, the most influential first. */
  readonly byInfluence: readonly number[];
  /** The influence of all nodes together. */
  readonly whole: number;
  /** |weight| of each edge as a share of all that flows into its target, parts left out included. */
  readonly shares: Float64Array;
  private order: Int32Array | null = null;

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
    this.shares = new Float64Array(edges.weight.length);
    for (let edge = 0; edge < edges.weight.length; edge++) {
      const incoming = nodes.incoming[edges.target[edge]];
      this.shares[edge] = incoming > 0 ? Math.abs(edges.weight[edge]) / incoming : 0;
      this.into[edges.target[edge]].push(edge);
      this.outOf[edges.source[edge]].push(edge);
    }
    for (const row of this.into) row.sort((one, other) => this.shares[other] - this.shares[one] || one - other);
    for (const row of this.outOf) row.sort((one, other) => this.shares[other] - this.shares[one] || one - other);
    this.byInfluence = nodes.node
      .map((_, row) => row)
      .sort((one, other) => this.influence(other) - this.influence(one) || one - other);
    this.whole = this.byInfluence.reduce((sum, row) => sum + this.influence(row), 0);
    this.combining = combining(this);
  }

  get size(): number {
    return this.graph.nodes.node.length;
  }

  /** Zero where it is unknown. */
  influence(row: number): number {
    return this.graph.nodes.influence[row] ?? 0;
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
    return this.shares[edge];
  }

  /** The token a node stands at, or null. */
  token(row: number): string | null {
    const pos = this.graph.nodes.pos[row];
    return pos === null ? null : (this.graph.tokens[pos] ?? null);
  }

  /** Node rows, each after all that flow into it. What stands on a cycle is left out. */
  topological(): Int32Array {
    if (this.order) return this.order;
    const { source, target } = this.graph.edges;
    const waiting = Int32Array.from(this.into, (edges) => edges.length);
    const order = new Int32Array(this.size);
    let filled = 0;
    for (let row = 0; row < this.size; row++) if (waiting[row] === 0) order[filled++] = row;
    for (let at = 0; at < filled; at++)
      for (const edge of this.outOf[order[at]])
        if (source[edge] !== target[edge] && --waiting[target[edge]] === 0) order[filled++] = target[edge];
    this.order = order.subarray(0, filled);
    return this.order;
  }
}

function combining(model: Model): ReadonlyMap<number, number[]> {
  const found = new Map<number, number[]>();
  model.graph.hyperedges.members.forEach((members, hyperedge) => {
    for (const row of new Set(members.flatMap((member) => model.rowsOf(member)))) {
      const known = found.get(row);
      if (known) known.push(hyperedge);
      else found.set(row, [hyperedge]);
    }
  });
  return found;
}
