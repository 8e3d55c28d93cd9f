/** Server processes of tests: `serve` as people start it, on ports of the system's choice. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const READY_MS = 60_000

export interface Served {
  readonly process: ChildProcess
  readonly clients: string
  readonly monitoring: string
  readonly resp: string
  readonly peers: string | undefined
  readonly stderr: () => string
  /** Exit status, or the signal that ended it. */
  readonly exited: Promise<number | string>
}

/** Resolves when it says that it is ready. @throws when it ends before */
export async function serve(...args: readonly string[]): Promise<Served> {
  const free = [
    ...['--listen-client-urls', 'http://127.0.0.1:0', '--listen-resp', 'tcp://127.0.0.1:0'],
    ...['--listen-monitoring-url', 'http://127.0.0.1:0'],
  ]
  const child = spawn(process.execPath, [MAIN, 'serve', ...free, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const got = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk: Buffer) => (got[name] += chunk.toString()))
  const exited = new Promise<number | string>((resolve) => {
    child.on('exit', (code, signal) => resolve(code ?? signal!))
  })
  const ended = exited.then((status) => {
    throw new Error(`serve ended with ${String(status)}: ${got.stderr.slice(-2_000)}`)
  })
  const find = (name: string): string | undefined =>
    new RegExp(`^  ${name} +(\\S+)$`, 'm').exec(got.stdout)?.[1]
  const ready = new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`not ready: ${got.stderr}`)), READY_MS)
    child.stdout.on('data', () => {
      if (find('data') === undefined) return
      clearTimeout(late)
      resolve()
    })
  })
  await Promise.race([ready, ended])
  ended.catch(() => undefined)
  return {
    process: child,
    clients: find('clients')!,
    monitoring: find('monitoring')!,
    resp: find('RESP')!,
    peers: find('peers'),
    stderr: () => got.stderr,
    exited,
  }
}

/** Runs one command to its end. */
export function run(...args: readonly string[]): Promise<{
  readonly status: number | string
  readonly stdout: string
  readonly stderr: string
}> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const got = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk: Buffer) => (got[name] += chunk.toString()))
  return new Promise((resolve) => {
    child.on('close', (code, signal) => resolve({ status: code ?? signal!, ...got }))
  })
}

/** `a=tcp://...` of names whose nodes are open; the others dial in, so that 0 stands for theirs. */
export const clusterOf = (names: readonly string[], open: ReadonlyMap<string, Served>): string =>
  names.map((name) => `${name}=${open.get(name)?.peers ?? 'tcp://127.0.0.1:0'}`).join(',')
