/**
 * What a fault has to get past, by the folder it is in: first a second or two of simulation, then
 * the tests of the folder, the cheap files first, seeds last. Each stage is one process.
 */
export interface Stage {
  readonly name: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

interface Row {
  readonly path: RegExp
  readonly stages: readonly Stage[]
}

const MAIN = 'src/cli/main.ts'
const VITEST = 'node_modules/vitest/vitest.mjs'

const THREAD = ['--pool', 'threads', '--maxWorkers', '1', '--no-isolate']

const sim = (name: string, ...args: readonly string[]): Stage => ({
  name: `sim ${name}`,
  args: [MAIN, 'sim', '--workers', '1', ...args],
})
/** Test files in one thread; one failure is enough. */
export const tests = (name: string, files: readonly string[], env?: Stage['env']): Stage => ({
  name: `test ${name}`,
  args: [VITEST, 'run', '--bail', '1', ...THREAD, ...files],
  ...(env !== undefined && { env }),
})

const MICRO = sim('micro', '--seeds', '1..200', '--class', 'micro')
const MIXED = sim('all classes', '--seeds', '1..60')

/** The tests of the core that are ranges of seeds take most of its time. */
const seeds = (through: number): Readonly<Record<string, string>> => {
  const names = ['XPAXOS_SEEDS', 'XPAXOS_READ_SEEDS', 'XPAXOS_LEASE_SEEDS', 'MEMBER_SEEDS']
  return Object.fromEntries(names.map((name) => [name, `1..${through}`]))
}
/** A second or two: one node, message by message. */
const ALONE = ['scripts', 'tail', 'lease-elsewhere']
  .map((name) => `test/core/xpaxos-${name}`)
  .concat(
    [
      'apply-cursor',
      'config-batches',
      'hand-over',
      'inputs',
      'leading',
      'lease-grants',
      'numbers',
      'standing',
      'supplying',
    ].map((name) => `test/core/${name}`),
  )
const SLOW = ['test/core/purge', 'test/core/membership-sweep', 'test/core/election-weights']
const without = (files: readonly string[]): string[] => files.flatMap((file) => ['--exclude', file])

const ROWS: readonly Row[] = [
  {
    path: /^src\/core\/basic-paxos\//,
    stages: [
      sim('basic-paxos', '--seeds', '1..60', '--class', 'basic-paxos'),
      tests('core', ['test/core/basic-paxos']),
      tests('stages, engine', ['test/stages/decide', 'test/engine/basic-paxos']),
    ],
  },
  {
    path: /^src\/core\//,
    stages: [
      tests('core, one node', ALONE),
      MICRO,
      tests(
        'core, histories',
        ['test/core/', ...without([...SLOW, 'test/core/basic-paxos'].map((name) => `${name}*`))],
        seeds(4),
      ),
      MIXED,
      tests('core, seeds', ['test/core/xpaxos', 'test/core/membership.test', ...SLOW], seeds(60)),
      tests('exploration', ['test/sim/explore', '-t', 'nothing it allows']),
      tests('stages, codec', ['test/stages/decide', 'test/stages/apply', 'test/codec/']),
    ],
  },
  {
    path: /^src\/wal\//,
    stages: [
      tests('wal', ['test/wal/']),
      MIXED,
      tests('stages, chaos', ['test/stages/wal', 'test/chaos/wal-kill']),
    ],
  },
  {
    path: /^src\/codec\//,
    stages: [
      tests('codec', ['test/codec/']),
      MIXED,
      tests('wal, net', ['test/wal/', 'test/net/', 'test/stages/']),
    ],
  },
  {
    path: /^src\/stages\//,
    stages: [tests('stages', ['test/stages/']), MIXED, tests('engine', ['test/engine/'])],
  },
]

/** The types come last: they are slow, and few faults are seen by them alone. */
const TYPES: Stage = { name: 'types', args: ['node_modules/typescript/bin/tsc', '--noEmit'] }

export function stagesOf(file: string): readonly Stage[] {
  const row = ROWS.find(({ path }) => path.test(file))
  return [...(row?.stages ?? []), TYPES]
}

export const hasStages = (file: string): boolean => ROWS.some(({ path }) => path.test(file))
