/**
 * Every one-line fault of a source file that a reviewer could overlook, by the compiler's own
 * syntax tree: a comparison that includes or excludes its bound, a condition turned round, a
 * statement that is missing, a constant one off. For development only: it needs the compiler, and a
 * checkout.
 *
 * What cannot change behaviour is left out: types, imports, text, assertions (a dropped one changes
 * nothing, a changed one fails by itself), events for people.
 */
import ts from 'typescript'

export interface Fault {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly column: number
  /** Offsets in the source: what is replaced, and by what. */
  readonly start: number
  readonly end: number
  readonly from: string
  readonly to: string
}

/** Calls whose arguments only say what is believed, or tell people. */
const SILENT = new Set(['assert', 'demand', 'unreachable', 'event', 'check', 'note', 'cover'])

const SWAPS: ReadonlyMap<ts.SyntaxKind, string> = new Map([
  [ts.SyntaxKind.LessThanToken, '<='],
  [ts.SyntaxKind.LessThanEqualsToken, '<'],
  [ts.SyntaxKind.GreaterThanToken, '>='],
  [ts.SyntaxKind.GreaterThanEqualsToken, '>'],
  [ts.SyntaxKind.EqualsEqualsEqualsToken, '!=='],
  [ts.SyntaxKind.ExclamationEqualsEqualsToken, '==='],
  [ts.SyntaxKind.AmpersandAmpersandToken, '||'],
  [ts.SyntaxKind.BarBarToken, '&&'],
  [ts.SyntaxKind.PlusToken, '-'],
  [ts.SyntaxKind.MinusToken, '+'],
  [ts.SyntaxKind.PlusEqualsToken, '-='],
  [ts.SyntaxKind.MinusEqualsToken, '+='],
  [ts.SyntaxKind.AmpersandToken, '|'],
  [ts.SyntaxKind.BarToken, '&'],
  [ts.SyntaxKind.LessThanLessThanToken, '>>'],
  [ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken, '<<'],
  [ts.SyntaxKind.GreaterThanGreaterThanToken, '<<'],
])

/** Names of methods and functions that are easily taken for each other. */
const TWINS: ReadonlyMap<string, string> = new Map([
  ['min', 'max'],
  ['max', 'min'],
  ['some', 'every'],
  ['every', 'some'],
  ['floor', 'ceil'],
  ['ceil', 'floor'],
  ['push', 'unshift'],
  ['shift', 'pop'],
])

export function faultsOf(file: string, source: string): Fault[] {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true)
  const faults = new Map<string, Fault>()
  const add = (start: number, end: number, to: string): void => {
    const from = source.slice(start, end)
    if (from.includes('\n') || from === to) return
    const { line, character } = tree.getLineAndCharacterOfPosition(start)
    const place = { file, line: line + 1, column: character + 1 }
    faults.set(`${start} ${end} ${to}`, { ...place, start, end, from, to })
  }
  visit(tree, add)
  return [...faults.values()]
}

type Add = (start: number, end: number, to: string) => void

function visit(node: ts.Node, add: Add): void {
  if (isOutside(node)) return
  replaceExpression(node, add)
  dropStatement(node, add)
  node.forEachChild((child) => visit(child, add))
}

function isOutside(node: ts.Node): boolean {
  if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isExportDeclaration(node))
    return true
  if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return true
  if (ts.isThrowStatement(node) || ts.isTemplateExpression(node)) return true
  if (!ts.isCallExpression(node)) return false
  return ts.isIdentifier(node.expression) && SILENT.has(node.expression.text)
}

function replaceExpression(node: ts.Node, add: Add): void {
  const text = (one: ts.Node): string => one.getText()
  const over = (one: ts.Node, to: string): void => add(one.getStart(), one.getEnd(), to)
  if (ts.isBinaryExpression(node)) {
    const swap = SWAPS.get(node.operatorToken.kind)
    if (swap !== undefined) over(node.operatorToken, swap)
  } else if (ts.isConditionalExpression(node)) {
    const { condition, whenTrue, whenFalse } = node
    over(node, `${text(condition)} ? ${text(whenFalse)} : ${text(whenTrue)}`)
  } else if (ts.isIfStatement(node) || ts.isWhileStatement(node)) {
    over(node.expression, `!(${text(node.expression)})`)
  } else if (ts.isNumericLiteral(node)) {
    replaceNumber(node, over)
  } else if (node.kind === ts.SyntaxKind.TrueKeyword) over(node, 'false')
  else if (node.kind === ts.SyntaxKind.FalseKeyword) over(node, 'true')
  else if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) {
    replaceUnary(node, add, over)
  } else if (ts.isPropertyAccessExpression(node) && isCalled(node)) {
    const twin = TWINS.get(node.name.text)
    if (twin !== undefined) over(node.name, twin)
  }
}

const isCalled = (node: ts.Node): boolean =>
  ts.isCallExpression(node.parent) && node.parent.expression === node

function replaceNumber(node: ts.NumericLiteral, over: (one: ts.Node, to: string) => void): void {
  if (ts.isPropertyAssignment(node.parent) && node.parent.name === node) return
  const value = Number(node.text)
  over(node, String(value + 1))
  if (value > 0) over(node, String(value - 1))
}

function replaceUnary(
  node: ts.PrefixUnaryExpression | ts.PostfixUnaryExpression,
  add: Add,
  over: (one: ts.Node, to: string) => void,
): void {
  const operand = node.operand.getText()
  const { PlusPlusToken, MinusMinusToken, ExclamationToken } = ts.SyntaxKind
  if (node.operator === ExclamationToken) return over(node, operand)
  if (node.operator !== PlusPlusToken && node.operator !== MinusMinusToken) return
  const to = node.operator === PlusPlusToken ? '--' : '++'
  if (ts.isPostfixUnaryExpression(node)) add(node.operand.getEnd(), node.getEnd(), to)
  else add(node.getStart(), node.operand.getStart(), to)
}

/** A statement that is not there: calls, assignments, early returns, whole one-line ifs. */
function dropStatement(node: ts.Node, add: Add): void {
  const isPlain =
    ts.isExpressionStatement(node) ||
    ts.isBreakStatement(node) ||
    ts.isContinueStatement(node) ||
    (ts.isReturnStatement(node) && isEarly(node)) ||
    (ts.isIfStatement(node) && node.elseStatement === undefined)
  if (!isPlain) return
  if (ts.isExpressionStatement(node) && isOutside(node.expression)) return
  if (/^state\.acceptedBatches/.test(node.getText())) return // a sign of life, for people
  const isBody = !ts.isBlock(node.parent) && !ts.isCaseOrDefaultClause(node.parent)
  add(node.getStart(), node.getEnd(), isBody && !ts.isSourceFile(node.parent) ? '{}' : '')
}

/** Not the last of its function: what follows would run. */
function isEarly(node: ts.ReturnStatement): boolean {
  const { parent } = node
  if (!ts.isBlock(parent)) return ts.isIfStatement(parent) || ts.isCaseClause(parent)
  const isLast = parent.statements.at(-1) === node
  return !isLast || !ts.isFunctionLike(parent.parent)
}

/** The source with the fault in it. */
export function applied(source: string, { start, end, from, to }: Fault): string | null {
  return source.slice(start, end) === from ? source.slice(0, start) + to + source.slice(end) : null
}

export const faultText = ({ file, line, column, from, to }: Fault): string =>
  `${file}:${line}:${column}: ${from} -> ${to === '' || to === '{}' ? '(nothing)' : to}`
