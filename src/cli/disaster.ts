/**
 * The body of `disaster`: looks at a stopped node's directory, says what a command would do and
 * what may be lost, and does it only if the cluster is named as accepted. Exit status 0 done, or
 * shown; 2 refused, and nothing was written; 1 a disk that failed or is damaged.
 */
import { resolve } from 'node:path'
import type { Member, MemberRole } from '../core/engine.ts'
import type { NodeId } from '../core/ids.ts'
import { BY_LENGTH_MAX, carryOut } from '../engine/disaster.ts'
import {
  DISASTER_ACTIONS,
  type DisasterAction,
  planDisaster,
  surveyDir,
} from '../engine/disaster-plan.ts'
import { openStorage } from '../wal/storage-fs.ts'
import { doneText, planText, surveyText } from './disaster-text.ts'
import { type Exit, EXIT, UsageError } from './exit.ts'

export interface DisasterFlags {
  readonly dataDir?: unknown
  readonly members?: unknown
  readonly weight?: unknown
  readonly by?: unknown
  readonly dryRun?: unknown
  readonly iAcceptDataLoss?: unknown
}

const ACTIONS = ['show', ...DISASTER_ACTIONS] as const
const ROLES: readonly string[] = ['voter', 'logger', 'learner'] satisfies MemberRole[]
const WEIGHT_DEFAULT = 5

/** @throws UsageError with every problem at once; ReplicaError what the directory is refused for */
export function runDisaster(
  flags: DisasterFlags,
  names: readonly string[],
  unknown: readonly string[],
): Exit {
  const problems = [...unknown]
  const action = actionOf(names, problems)
  const dir = dirOf(flags.dataDir, problems)
  const members = membersOf(flags.members, problems)
  const weight = weightOf(flags.weight, problems)
  const by = byOf(flags, action, problems)
  if (problems.length > 0) throw new UsageError(problems)
  if (action === 'show') return show(dir)
  return force(dir, { action: action!, members, weight }, { ...flags, by })
}

function show(dir: string): Exit {
  process.stdout.write(surveyText(surveyDir(openStorage(), dir)))
  return EXIT.done
}

function force(
  dir: string,
  order: { action: DisasterAction; members: Member[] | null; weight: number },
  { by, dryRun, iAcceptDataLoss }: DisasterFlags & { readonly by: string },
): Exit {
  const storage = openStorage()
  const plan = planDisaster(surveyDir(storage, dir), order)
  process.stdout.write(planText(plan))
  if (dryRun === true) {
    process.stdout.write('\nA dry run: nothing was written.\n')
    return EXIT.done
  }
  const { clusterId } = plan.survey.log.identity
  if (iAcceptDataLoss !== clusterId) {
    const want = `want ${clusterId}, if what may be lost above is accepted; nothing was written`
    throw new UsageError([`--i-accept-data-loss: ${want}`])
  }
  carryOut(storage, plan, by)
  process.stdout.write(doneText(plan))
  return EXIT.done
}

function actionOf(names: readonly string[], problems: string[]) {
  const [name, ...more] = names
  for (const one of more) problems.push(`${one}: unexpected argument`)
  const action = ACTIONS.find((one) => one === name)
  if (action === undefined) problems.push(`ACTION: want one of ${ACTIONS.join(', ')}`)
  return action
}

function dirOf(given: unknown, problems: string[]): string {
  if (typeof given === 'string' && given !== '') return resolve(given)
  problems.push('--data-dir: missing')
  return ''
}

/** `1:voter:9,2,3:logger`: id, role (default voter) and weight (default 5) of each. */
function membersOf(given: unknown, problems: string[]): Member[] | null {
  if (given === undefined) return null
  const parts = typeof given === 'string' ? given.split(',') : ['']
  return parts.map((part) => {
    const [id = '', role = 'voter', weight = String(WEIGHT_DEFAULT)] = part.split(':')
    const isKnown = ROLES.includes(role) && /^\d+$/.test(id) && /^\d$/.test(weight)
    if (!isKnown) problems.push(`--members: ${part}: want ID[:voter|logger|learner[:WEIGHT]]`)
    const isVoter = role === 'voter'
    return {
      id: Number(id) as NodeId,
      role: role as MemberRole,
      weight: isVoter ? Number(weight) : 0,
    }
  })
}

function weightOf(given: unknown, problems: string[]): number {
  if (given === undefined) return WEIGHT_DEFAULT
  const weight = typeof given === 'string' && /^\d$/.test(given) ? Number(given) : 0
  if (weight === 0) problems.push('--weight: want 1 to 9')
  return weight
}

/** Needed where something is written: it is what the audit batch says. */
function byOf({ by, dryRun }: DisasterFlags, action: string | undefined, problems: string[]) {
  const text = typeof by === 'string' ? by.trim() : ''
  const isNeeded = action !== 'show' && dryRun !== true
  if (isNeeded && text === '') problems.push('--by: missing: who orders this, when and why')
  if (text.length > BY_LENGTH_MAX) problems.push(`--by: at most ${BY_LENGTH_MAX} characters`)
  return text
}
