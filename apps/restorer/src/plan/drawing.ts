import { Graphviz } from '@hpcc-js/wasm-graphviz'

/** A graph in Graphviz's language as SVG. */
export async function drawing(dot: string): Promise<string> {
  const graphviz = await Graphviz.load()
  return graphviz.layout(dot, 'svg', 'dot')
}
