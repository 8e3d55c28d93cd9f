/**
 * A scratch copy of the checkout, in which one fault after the other is put into its file and the
 * stages are run until one fails. The sources of the checkout itself are never touched.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Fault, applied } from './generate.ts'
import type { Stage } from './stages.ts'

export interface Verdict {
  readonly fault: Fault
  /** What failed, or ran out of time; null: nothing did. */
  readonly killedBy: string | null
}

const COPIED = ['src', 'test', 'native-free-bench', 'docs', 'examples', 'results']
const FILES = ['package.json', 'tsconfig.json', 'vitest.config.ts']

export function makeCopy(root: string, folder: string): string {
  const copy = resolve(folder)
  rmSync(copy, { recursive: true, force: true })
  mkdirSync(copy, { recursive: true })
  for (const name of [...COPIED, ...FILES]) {
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(resolve(root, 'node_modules'), join(copy, 'node_modules'))
  return copy
}

export async function judgeFault(
  copy: string,
  fault: Fault,
  stages: readonly Stage[],
  limitMs: number,
): Promise<Verdict> {
  const file = join(copy, fault.file)
  const source = readFileSync(file, 'utf8')
  const changed = applied(source, fault)
  if (changed === null) throw new Error(`${fault.file} is not what the fault was made for`)
  writeFileSync(file, changed)
  try {
    for (const stage of stages) {
      const failed = await runStage(copy, stage, limitMs)
      if (failed !== null) return { fault, killedBy: failed }
    }
    return { fault, killedBy: null }
  } finally {
    writeFileSync(file, source)
  }
}

/** @returns null when the stage passed */
function runStage(copy: string, stage: Stage, limitMs: number): Promise<string | null> {
  return new Promise((settle) => {
    const env = { ...process.env, ...stage.env, NO_COLOR: '1' }
    // A group of its own, so that what a test has started ends with it.
    const child = spawn(process.execPath, stage.args, {
      cwd: copy,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let output = ''
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      endGroup(child.pid)
    }, limitMs)
    const listen = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-100_000)
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    child.on('close', (code) => {
      clearTimeout(timer)
      endGroup(child.pid)
      if (isLate) return settle(`${stage.name}: no end in time`)
      settle(code === 0 ? null : `${stage.name}: ${reasonIn(output)}`)
    })
  })
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // The group has ended by itself.
  }
}

/** The first line that says what failed: a violation, a test's name, a type error. */
function reasonIn(output: string): string {
  const found =
    /^seed \d+ class \S+ (.*?);/m.exec(output) ??
    /^ *FAIL +test\/(.*)$/m.exec(output) ??
    /^(\S+\.ts.*error TS.*)$/m.exec(output)
  return (found?.[1] ?? output.trim().split('\n').at(-1) ?? '').slice(0, 120)
}
