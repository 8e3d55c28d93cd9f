/**
 * The house rules a compiler does not know: who may import whom (the layer table), who may touch
 * which piece of the world, where Atomics live, what the core may not name, and the look of files.
 * The rules are plain functions of (path, source), so that planted violations test them too.
 * Files are read from the disk, never run.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { posix } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'

// ---- The layer table -------------------------------------------------------------------------

interface Layer {
  /** Folders it may import besides itself; `core (types)` allows type imports only. */
  readonly imports: readonly string[]
  /** Node builtins and packages that every file of the folder may import. */
  readonly outside: readonly string[]
  /** Further outside modules, only for files whose path matches. */
  readonly files?: readonly { readonly path: RegExp; readonly outside: readonly string[] }[]
}

const SRC = 'base core ring codec wal net stages engine state-machines check sim server client cli'
const ALL = SRC.split(' ')
const TO_ENGINE = ['base', 'core', 'ring', 'codec', 'wal', 'net', 'stages', 'state-machines']

const LAYERS: Readonly<Record<string, Layer>> = {
  base: { imports: [], outside: [] },
  core: { imports: ['base'], outside: [] },
  ring: { imports: ['base'], outside: [] },
  codec: { imports: ['base', 'core (types)'], outside: ['node:zlib'] },
  wal: {
    imports: ['base', 'core', 'codec'],
    outside: ['node:zlib'],
    files: [{ path: /^src\/wal\/storage-fs\.ts$/, outside: ['node:fs', 'node:path'] }],
  },
  net: {
    imports: ['base', 'codec', 'ring'],
    outside: [],
    files: [{ path: /^src\/net\/tcp-link\.ts$/, outside: ['node:net', 'node:tls'] }],
  },
  stages: {
    imports: ['base', 'core', 'ring', 'codec', 'wal', 'net'],
    outside: [],
    files: [{ path: /\.worker\.ts$/, outside: ['node:worker_threads'] }],
  },
  'state-machines': { imports: ['base', 'codec'], outside: [] },
  check: { imports: ['base'], outside: [] },
  engine: {
    imports: TO_ENGINE,
    outside: words('node:worker_threads node:os node:path node:url node:fs node:crypto'),
    // A user's state machine is a module that only he knows.
    files: [{ path: /^src\/engine\/state-machine-of\.ts$/, outside: ['<computed spec.url>'] }],
  },
  sim: {
    imports: [
      ...['base', 'core', 'ring', 'codec', 'wal', 'net', 'stages', 'state-machines'],
      ...['engine', 'check'],
    ],
    outside: [],
    // Pure but for these: who spreads seeds over threads, and who plants a fault in a source.
    files: [
      { path: /^src\/sim\/campaign\.ts$/, outside: ['piscina'] },
      { path: /^src\/sim\/sim\.worker\.ts$/, outside: ['node:worker_threads'] },
      { path: /^src\/sim\/plant\.ts$/, outside: ['node:fs', 'node:module', 'node:url'] },
    ],
  },
  server: {
    imports: ['base', 'codec', 'engine', 'state-machines'],
    outside: words(
      'node:http node:https node:net node:tls node:fs uWebSockets.js @uwsjs/* ws prom-client pino',
    ),
    files: [
      { path: /^src\/server\/(auth|hosted|resp\/auth)\.ts$/, outside: ['node:crypto'] },
      { path: /^src\/server\/http\/node-adapter\.ts$/, outside: ['node:stream'] },
    ],
  },
  client: { imports: ['base', 'codec'], outside: words('node:net node:tls node:http node:https') },
  cli: {
    imports: [...ALL, 'native-free-bench'],
    outside: words('node:* commander zod'),
    // Tools of development, which no package has: they read sources as the compiler does.
    files: [{ path: /^src\/cli\/(faults|branches)\//, outside: ['typescript'] }],
  },
  'native-free-bench': {
    imports: ALL.filter((folder) => folder !== 'server' && folder !== 'cli'),
    outside: words(
      'node:fs node:child_process node:os node:path node:url node:perf_hooks ' +
        'node:worker_threads node:v8 node:crypto tinybench piscina simple-statistics',
    ),
    // Raw spikes measure the machine without our code.
    files: [
      {
        path: /^native-free-bench\/suites\/spike-/,
        outside: words('node:net node:zlib node:util node:events'),
      },
    ],
  },
}

/**
 * What the simulator runs of the engine (docs/decisions/0004): pure, and none of it makes a node.
 */
const SIM_OF_ENGINE = new RegExp(
  '^src/engine/(topology|client|proposals|session-client|read-client|reader|operator|settle|' +
    'token|node-spec)[.]ts$',
)

/** Names that give the core a clock, chance, I/O, threads or a later turn of the event loop. */
const CORE_FORBIDDEN = new Set(
  words(
    'Date performance Promise Atomics SharedArrayBuffer process console crypto fetch ' +
      'setTimeout setInterval setImmediate queueMicrotask WebSocket globalThis',
  ),
)

function words(text: string): string[] {
  return text.split(' ')
}

// ---- The rules -------------------------------------------------------------------------------

/** Every import goes to the same folder, a folder of its row, or an outside module of its row. */
export function layerProblems(path: string, source: string): string[] {
  const folder = folderOf(path)
  const layer = LAYERS[folder]
  if (layer === undefined) return [`${path}: folder ${folder} has no row in the layer table`]
  const problems: string[] = []
  for (const found of importsOf(path, source)) {
    const reason = found.target.startsWith('.')
      ? inwardProblem(path, folder, layer, found)
      : outwardProblem(path, layer, found)
    if (reason !== undefined) problems.push(`${path}:${found.line}: ${found.target}: ${reason}`)
  }
  return problems
}

function inwardProblem(from: string, folder: string, layer: Layer, found: Import) {
  const to = posix.normalize(posix.join(posix.dirname(from), found.target))
  const other = folderOf(to)
  if (!/\.ts$/.test(to) && !found.isUrl) return 'a relative import carries .ts'
  if (found.isUrl && !/\.[cm]?[tj]s$/.test(to)) return undefined // data beside the code
  if (folder === 'stages' && isStage(from) && isStage(to) && from !== to)
    return 'stages never import each other: they meet in rings'
  if (folder === 'sim' && other === 'engine' && !SIM_OF_ENGINE.test(to))
    return 'sim may import of engine only what knows no thread, file or clock'
  if (folder === 'sim' && to === 'src/net/tcp-link.ts') return 'sim has links of its own'
  if (folder === 'sim' && other === 'stages' && to.endsWith('.worker.ts'))
    return 'sim runs stages inline, not their workers'
  if (other === folder || layer.imports.includes(other)) return undefined
  if (layer.imports.includes(`${other} (types)`))
    return found.isTypeOnly ? undefined : `${folder} may import only types of ${other}`
  return `${folder} may not import ${other}`
}

function outwardProblem(path: string, layer: Layer, found: Import): string | undefined {
  const rows = layer.files?.filter((row) => row.path.test(path)) ?? []
  const allowed = [...layer.outside, ...rows.flatMap((row) => row.outside)]
  const name = packageOf(found.target)
  const wanted = [name, name.replace(/[:/].*$/, (rest) => `${rest[0]!}*`)]
  return wanted.some((candidate) => allowed.includes(candidate))
    ? undefined
    : 'this file may not touch it (see the layer table)'
}

const isStage = (path: string): boolean => /-stage\.ts$/.test(path)

/** 'src/core/xpaxos/leader.ts' -> 'core'; 'native-free-bench/load/x.ts' -> 'native-free-bench'. */
function folderOf(path: string): string {
  const [top = '', next = ''] = path.split('/')
  if (top !== 'src') return top
  return /\.ts$/.test(next) ? 'src (root)' : next
}

/** 'node:fs/promises' -> 'node:fs'; '@a/b/c' -> '@a/b'; 'ws/lib' -> 'ws'. */
const packageOf = (target: string): string =>
  target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/')

/** Atomics are named in src/ring alone: one home, one memory-order argument. */
export function atomicsProblems(path: string, source: string): string[] {
  if (!path.startsWith('src/') || folderOf(path) === 'ring') return []
  return nodesOf(path, source)
    .filter(({ node }) => isName(node) && node.text === 'Atomics')
    .map(({ line }) => `${path}:${line}: Atomics live in src/ring`)
}

/** The core has no clock, chance, I/O, threads or later: time is a tick, chance is a seed. */
export function purityProblems(path: string, source: string): string[] {
  if (folderOf(path) !== 'core') return []
  return nodesOf(path, source).flatMap(({ node, line }) => {
    const name = impurityOf(node)
    return name === undefined ? [] : [`${path}:${line}: ${name} in the core`]
  })
}

function impurityOf(node: ts.Node): string | undefined {
  if (node.kind === ts.SyntaxKind.AsyncKeyword) return 'async'
  if (ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier))
    return 'await'
  if (ts.isPropertyAccessExpression(node) && node.getText() === 'Math.random') return 'Math.random'
  return isName(node) && CORE_FORBIDDEN.has(node.text) ? node.text : undefined
}

/** An identifier that names a variable or type: not `.Date`, not a property key. */
function isName(node: ts.Node): node is ts.Identifier {
  if (!ts.isIdentifier(node)) return false
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
  const isKey =
    ts.isPropertyAssignment(parent) ||
    ts.isPropertySignature(parent) ||
    ts.isPropertyDeclaration(parent)
  return !(isKey && parent.name === node)
}

/** Header, width, erasable syntax, no default export. */
export function lookProblems(path: string, source: string): string[] {
  const problems: string[] = []
  const lines = source.split('\n')
  lines.forEach((text, i) => {
    const columns = [...text].length
    if (columns > 100) problems.push(`${path}:${i + 1}: ${columns} columns, at most 100`)
  })
  const first = lines.find((text) => text.trim() !== '' && !text.startsWith('#!')) ?? ''
  const isProduct = !path.startsWith('test/')
  if (path.startsWith('src/') && !first.startsWith('/**'))
    problems.push(`${path}:1: a file opens with a /** header: what it is, what it must not do`)
  for (const { node, line } of nodesOf(path, source)) {
    if (ts.isEnumDeclaration(node)) problems.push(`${path}:${line}: no enum: a literal union`)
    if (ts.isModuleDeclaration(node) && !isAmbient(node))
      problems.push(`${path}:${line}: no namespace: a file is the module`)
    if (isProduct && isDefaultExport(node)) problems.push(`${path}:${line}: no default export`)
  }
  return problems
}

/** `declare module 'x'` and `declare global` describe foreign code: allowed. */
const isAmbient = (node: ts.ModuleDeclaration): boolean =>
  ts.isStringLiteral(node.name) || node.name.text === 'global'

const isDefaultExport = (node: ts.Node): boolean =>
  ts.isExportAssignment(node) ||
  node.kind === ts.SyntaxKind.DefaultKeyword ||
  (ts.isExportSpecifier(node) && node.name.text === 'default')

// ---- Reading source --------------------------------------------------------------------------

interface Import {
  readonly target: string
  readonly line: number
  readonly isTypeOnly: boolean
  /** `new URL('./x.worker.ts', import.meta.url)`: how threads and data files are named. */
  readonly isUrl: boolean
}

function importsOf(path: string, source: string): Import[] {
  return nodesOf(path, source).flatMap(({ node, line }) => {
    const found = importAt(node)
    return found === undefined ? [] : [{ line, isTypeOnly: false, isUrl: false, ...found }]
  })
}

function importAt(node: ts.Node): (Pick<Import, 'target'> & Partial<Import>) | undefined {
  if (ts.isImportDeclaration(node))
    return { target: textOf(node.moduleSpecifier), isTypeOnly: isTypeImport(node.importClause) }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier)
    return { target: textOf(node.moduleSpecifier), isTypeOnly: isTypeExport(node) }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
    return { target: textOf(node.argument.literal), isTypeOnly: true }
  const [first] =
    ts.isCallExpression(node) || ts.isNewExpression(node) ? (node.arguments ?? []) : []
  if (first === undefined) return undefined
  if (ts.isCallExpression(node) && isLoader(node.expression)) return { target: textOf(first) }
  const isUrl = ts.isNewExpression(node) && node.expression.getText() === 'URL'
  const isRelative = ts.isStringLiteralLike(first) && /^\.\.?\//.test(first.text)
  return isUrl && isRelative ? { target: textOf(first), isUrl } : undefined
}

/** `import('x')`, `require('x')` and `process.getBuiltinModule('x')` are imports too. */
const isLoader = (callee: ts.Expression): boolean =>
  callee.kind === ts.SyntaxKind.ImportKeyword ||
  /^(require|process\.getBuiltinModule)$/.test(callee.getText())

function isTypeImport(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false // import for its side effect
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true
  const { namedBindings } = clause
  if (clause.name !== undefined || namedBindings === undefined) return false
  return ts.isNamedImports(namedBindings) && namedBindings.elements.every((one) => one.isTypeOnly)
}

function isTypeExport({ isTypeOnly, exportClause }: ts.ExportDeclaration): boolean {
  if (isTypeOnly) return true
  if (exportClause === undefined || !ts.isNamedExports(exportClause)) return false
  return exportClause.elements.every((one) => one.isTypeOnly)
}

/** A computed target cannot be checked: it reads as `<computed>`, which no row allows. */
const textOf = (node: ts.Node): string =>
  ts.isStringLiteralLike(node) ? node.text : `<computed ${node.getText()}>`

function nodesOf(path: string, source: string): { node: ts.Node; line: number }[] {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.ES2024, true)
  const nodes: { node: ts.Node; line: number }[] = []
  const visit = (node: ts.Node): void => {
    const { line } = file.getLineAndCharacterOfPosition(node.getStart(file))
    nodes.push({ node, line: line + 1 })
    ts.forEachChild(node, visit)
  }
  ts.forEachChild(file, visit)
  return nodes
}

// ---- The tree --------------------------------------------------------------------------------

const ROOT = fileURLToPath(new URL('..', import.meta.url))

function filesOf(top: string): { path: string; source: string }[] {
  const folder = posix.join(ROOT, top)
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => posix.join(entry.parentPath, entry.name))
    .map((file) => ({
      path: posix.relative(ROOT, file),
      source: readFileSync(file, 'utf8'),
    }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

const product = [...filesOf('src'), ...filesOf('native-free-bench')]
const tests = filesOf('test')

test('every import follows the layer table', () => {
  expect(product.flatMap(({ path, source }) => layerProblems(path, source))).toEqual([])
})

test('Atomics are named only in src/ring', () => {
  expect(product.flatMap(({ path, source }) => atomicsProblems(path, source))).toEqual([])
})

test('the core names no clock, chance, I/O, thread or promise', () => {
  expect(product.flatMap(({ path, source }) => purityProblems(path, source))).toEqual([])
})

test('files open with a header, stay within 100 columns and use erasable syntax', () => {
  const all = [...product, ...tests]
  expect(all.flatMap(({ path, source }) => lookProblems(path, source))).toEqual([])
})

// ---- Planted violations ----------------------------------------------------------------------

type Rule = (path: string, source: string) => string[]
type Plant = readonly [rule: Rule, path: string, source: string]

const named = (plants: readonly Plant[]): [string, string, string, Rule][] =>
  plants.map(([rule, path, source]) => [rule.name, path, source, rule])

const REFUSED: readonly Plant[] = [
  [layerProblems, 'src/core/x.ts', "import 'node:fs'"],
  [layerProblems, 'src/core/x.ts', "import { now } from '../ring/x.ts'"],
  [layerProblems, 'src/core/paxos/x.ts', "import { send } from '../../net/x.ts'"],
  [layerProblems, 'src/core/x.ts', "export { a } from '../codec/a.ts'"],
  [layerProblems, 'src/core/x.ts', "type F = import('node:fs').Stats"],
  [layerProblems, 'src/base/x.ts', "import { a } from '../core/a.ts'"],
  [layerProblems, 'src/base/x.ts', "import { a } from './a.js'"],
  [layerProblems, 'src/ring/x.ts', "import 'node:worker_threads'"],
  [layerProblems, 'src/codec/x.ts', "import { step } from '../core/a.ts'"],
  [layerProblems, 'src/codec/x.ts', "import { type Ballot, step } from '../core/a.ts'"],
  [layerProblems, 'src/wal/segment.ts', "import { openSync } from 'node:fs'"],
  [layerProblems, 'src/wal/segment.ts', "import { open } from 'node:fs/promises'"],
  [layerProblems, 'src/wal/segment.ts', "import { open } from 'fs'"],
  [layerProblems, 'src/wal/segment.ts', "const fs = await import('node:fs')"],
  [layerProblems, 'src/wal/segment.ts', "const fs = process.getBuiltinModule('node:fs')"],
  [layerProblems, 'src/net/memory-link.ts', "import net from 'node:net'"],
  [layerProblems, 'src/stages/wal-stage.ts', "import 'node:worker_threads'"],
  [layerProblems, 'src/stages/wal-stage.ts', "import { a } from './apply-stage.ts'"],
  [layerProblems, 'src/stages/wal-stage.ts', "import { a } from '../engine/host.ts'"],
  [layerProblems, 'src/engine/host.ts', "import 'node:http'"],
  [layerProblems, 'src/engine/host.ts', "import { z } from 'zod'"],
  [layerProblems, 'src/engine/host.ts', "import { a } from '../server/a.ts'"],
  [layerProblems, 'src/state-machines/kv.ts', "import { a } from '../core/a.ts'"],
  [layerProblems, 'src/check/x.ts', "import { readFileSync } from 'node:fs'"],
  [layerProblems, 'src/check/x.ts', "import { a } from '../core/a.ts'"],
  [layerProblems, 'src/sim/run.ts', "import { a } from '../engine/host.ts'"],
  [layerProblems, 'src/sim/run.ts', "import { a } from '../engine/assemble.ts'"],
  [layerProblems, 'src/sim/run.ts', "import { a } from '../net/tcp-link.ts'"],
  [layerProblems, 'src/sim/run.ts', "new URL('../stages/wal-stage.worker.ts', import.meta.url)"],
  [layerProblems, 'src/client/x.ts', "import { a } from '../core/a.ts'"],
  [layerProblems, 'src/cli/main.ts', "import ws from 'ws'"],
  [layerProblems, 'src/cli/main.ts', 'await import(name)'],
  [layerProblems, 'src/cli/faults.ts', "import ts from 'typescript'"],
  [layerProblems, 'src/loose.ts', ''],
  [layerProblems, 'src/nowhere/x.ts', ''],
  [layerProblems, 'native-free-bench/x.ts', "import { a } from '../src/server/a.ts'"],
  [layerProblems, 'native-free-bench/x/y.ts', "await import('../../src/cli/main.ts')"],
  [layerProblems, 'native-free-bench/x.ts', "import ws from 'ws'"],
  [atomicsProblems, 'src/stages/x.ts', 'Atomics.load(cells, 0)'],
  [atomicsProblems, 'src/engine/x.ts', 'const { wait } = Atomics'],
  [purityProblems, 'src/core/x.ts', 'const at = Date.now()'],
  [purityProblems, 'src/core/x.ts', 'const at = new Date()'],
  [purityProblems, 'src/core/x.ts', 'const chance = Math.random()'],
  [purityProblems, 'src/core/x.ts', 'const at = performance.now()'],
  [purityProblems, 'src/core/x.ts', 'export async function f() {}'],
  [purityProblems, 'src/core/x.ts', 'export const f = async () => 1'],
  [purityProblems, 'src/core/x.ts', 'let a: Promise<number>'],
  [purityProblems, 'src/core/x.ts', 'setTimeout(f, 1)'],
  [lookProblems, 'src/core/x.ts', "import { a } from './a.ts'"],
  [lookProblems, 'src/core/x.ts', '/** x */\nenum A { B }'],
  [lookProblems, 'src/core/x.ts', '/** x */\nnamespace A { export const a = 1 }'],
  [lookProblems, 'src/core/x.ts', '/** x */\nexport default 1'],
  [lookProblems, 'src/core/x.ts', '/** x */\nexport default function f() {}'],
  [lookProblems, 'native-free-bench/x.ts', 'export { a as default }'],
  [lookProblems, 'test/x.test.ts', `// ${'x'.repeat(98)}`],
]

test.each(named(REFUSED))('%s refuses in %s: %s', (_name, path, source, rule) => {
  expect(rule(path, source)).toHaveLength(1)
})

const ALLOWED: readonly Plant[] = [
  [layerProblems, 'src/core/x.ts', "import { a } from '../base/a.ts'"],
  [layerProblems, 'src/core/paxos/x.ts', "import { a } from '../ids.ts'"],
  [layerProblems, 'src/codec/x.ts', "import type { Ballot } from '../core/ids.ts'"],
  [layerProblems, 'src/codec/x.ts', "import { type Ballot } from '../core/ids.ts'"],
  [layerProblems, 'src/codec/x.ts', "import { crc32 } from 'node:zlib'"],
  [layerProblems, 'src/wal/storage-fs.ts', "import { openSync } from 'node:fs'"],
  [layerProblems, 'src/net/tcp-link.ts', "import net from 'node:net'"],
  [layerProblems, 'src/stages/wal-stage.worker.ts', "import 'node:worker_threads'"],
  [layerProblems, 'src/stages/wal-stage.worker.ts', "import { a } from './wal-stage.ts'"],
  [layerProblems, 'src/sim/stage-life.ts', "import { a } from '../engine/read-client.ts'"],
  [layerProblems, 'src/sim/stage-link.ts', "import { a } from '../net/reader.ts'"],
  [layerProblems, 'src/engine/host.ts', "new URL('../stages/a.worker.ts', import.meta.url)"],
  [layerProblems, 'src/server/x.ts', "import uws from '@uwsjs/linux-x64-22'"],
  [layerProblems, 'src/cli/main.ts', "await import('../../native-free-bench/bench.ts')"],
  [layerProblems, 'src/cli/main.ts', "import { parseArgs } from 'node:util'"],
  [layerProblems, 'src/cli/main.ts', "new URL('../../package.json', import.meta.url)"],
  [layerProblems, 'native-free-bench/x.ts', "import { a } from '../src/engine/index.ts'"],
  [atomicsProblems, 'src/ring/x.ts', 'Atomics.load(cells, 0)'],
  [atomicsProblems, 'src/stages/x.ts', '// Atomics live in src/ring\nconst a = "Atomics"'],
  [purityProblems, 'src/core/x.ts', '/** Promise, Date.now: only words */\nconst a = b.Date'],
  [purityProblems, 'src/engine/x.ts', 'export async function f() { return Date.now() }'],
  [lookProblems, 'src/cli/main.ts', '#!/usr/bin/env node\n/** The command line. */\n'],
  [lookProblems, 'src/core/x.ts', "/** x */\nexport const a = 'export default enum'"],
]

test.each(named(ALLOWED))('%s allows in %s: %s', (_name, path, source, rule) => {
  expect(rule(path, source)).toEqual([])
})
