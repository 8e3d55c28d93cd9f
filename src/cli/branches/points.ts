/**
 * The branches of a source file, by the compiler's syntax tree, and which of them were taken, by
 * the counts that the engine keeps of blocks. A branch is one way out of an `if`, `?:` or `switch`,
 * the right side of `&&`, `||` or `??`, or the body of a loop. Types are only blanked out when a
 * source is loaded, so its offsets are those of the text. For development only.
 */
import ts from 'typescript'

/** A function's blocks as the profiler reports them: outer before inner. */
export interface Ranges {
  readonly ranges: readonly {
    readonly startOffset: number
    readonly endOffset: number
    readonly count: number
  }[]
}

export interface Branch {
  readonly line: number
  /** 'if', 'else', ... and the text of its line. */
  readonly what: string
  readonly taken: boolean
}

export function branchesOf(file: string, source: string, functions: readonly Ranges[]): Branch[] {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true)
  const lines = source.split('\n')
  const branches: Branch[] = []
  const countAt = (node: ts.Node): number => countOf(functions, node.getStart())
  const add = (node: ts.Node, kind: string, count: number): void => {
    const { line } = tree.getLineAndCharacterOfPosition(node.getStart())
    branches.push({ line: line + 1, what: `${kind}: ${lines[line]!.trim()}`, taken: count > 0 })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isIfStatement(node)) {
      const { thenStatement, elseStatement } = node
      const then = countAt(thenStatement)
      add(node, 'if', then)
      const otherwise = elseStatement === undefined ? countAt(node) - then : countAt(elseStatement)
      add(elseStatement ?? node, 'else', otherwise)
    } else if (ts.isConditionalExpression(node)) {
      add(node.whenTrue, '?', countAt(node.whenTrue))
      add(node.whenFalse, ':', countAt(node.whenFalse))
    } else if (ts.isBinaryExpression(node) && isShort(node.operatorToken.kind)) {
      add(node.right, node.operatorToken.getText(), countAt(node.right))
    } else if (ts.isCaseClause(node)) {
      const [first] = node.statements
      if (first !== undefined) add(node, 'case', countAt(first))
    } else if (ts.isIterationStatement(node, false)) {
      add(node, 'loop', countAt(node.statement))
    }
    node.forEachChild(visit)
  }
  visit(tree)
  return branches
}

const isShort = (kind: ts.SyntaxKind): boolean =>
  kind === ts.SyntaxKind.AmpersandAmpersandToken ||
  kind === ts.SyntaxKind.BarBarToken ||
  kind === ts.SyntaxKind.QuestionQuestionToken ||
  kind === ts.SyntaxKind.BarBarEqualsToken ||
  kind === ts.SyntaxKind.QuestionQuestionEqualsToken

/** The count of the innermost block around an offset. */
function countOf(functions: readonly Ranges[], offset: number): number {
  let count = 0
  let size = Infinity
  for (const { ranges } of functions) {
    for (const { startOffset, endOffset, count: times } of ranges) {
      if (offset < startOffset || offset >= endOffset || endOffset - startOffset > size) continue
      size = endOffset - startOffset
      count = times
    }
  }
  return count
}
