/** What disaster commands say to people: what a directory holds, and what may be lost. Pure. */
import type { Member } from '../core/engine.ts'
import { ballotOwner, ballotRound } from '../core/ids.ts'
import { type Membership, historyEpochOf } from '../core/membership.ts'
import type { DisasterPlan, Survey } from '../engine/disaster-plan.ts'

const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join('')
const showMember = ({ id, role, weight }: Member): string =>
  role === 'voter' ? `${id} voter of weight ${weight}` : `${id} ${role}`
const showMembers = ({ members }: Membership): string => members.map(showMember).join(', ')
const range = (from: number, to: number): string =>
  from === to ? `entry ${from}` : `entries ${from} to ${to}`

/** To tell survivors apart: the greatest accepted ballot, then the greatest last index. */
export function surveyText({ log, config, audits }: Survey): string {
  const { identity, acceptedBallot, first, last, floor } = log
  const owner = ballotOwner(acceptedBallot)
  const accepted = acceptedBallot === 0 ? 'none' : `${ballotRound(acceptedBallot)} of node ${owner}`
  const held = last === 0 ? 'empty' : `${range(first, last)}, known chosen through ${floor}`
  const known = config === null ? 'none in the log' : showMembers(config.membership)
  const history = config === null ? (identity.historyEpoch ?? 0) : historyEpochOf(config.membership)
  return lines([
    `cluster          ${identity.clusterId}`,
    `node             ${identity.nodeId}`,
    `accepted ballot  ${accepted}`,
    `log              ${held}`,
    `members          ${known}`,
    `history          ${history}`,
    ...audits.map(({ index, text }) => `audit at ${index}      ${text}`),
  ])
}

export function planText(plan: DisasterPlan): string {
  const { before, after, survey, survivor } = plan
  return [
    surveyText(survey),
    lines([
      '',
      `${plan.action}: node ${survivor.id} becomes the only member`,
      `before           ${showMembers(before.membership)}`,
      `after            ${showMembers(after)}`,
      `history          ${historyEpochOf(before.membership)} becomes ${historyEpochOf(after)}`,
      '',
      'What may be lost, or change, for ever:',
      ...lossesOf(plan).map((loss) => `- ${loss}`),
    ]),
  ].join('')
}

function lossesOf({ survey, survivor, before, after }: DisasterPlan): string[] {
  const { last, floor, lastContinues } = survey.log
  const others = before.membership.members.filter(({ id }) => id !== survivor.id)
  const ids = others.map(({ id }) => id).join(', ')
  const losses = [
    others.length === 0
      ? `whatever was acknowledged above index ${last}: nothing of it is here`
      : `whatever nodes ${ids} acknowledged above index ${last}: nothing of it is here`,
  ]
  if (survivor.role === 'learner') {
    losses.push('a learner is in no quorum: of what was acknowledged much may lie above that index')
  }
  if (floor < last) {
    losses.push(
      `${range(floor + 1, last)} of this node: not known to be chosen. They take effect ` +
        'from now on, and if the others had chosen something else there, that is lost',
    )
  }
  if (lastContinues) losses.push('the group of entries that the log ends within: it is void')
  if (before.index === last && before.index > floor) {
    losses.push(`the change of the membership at index ${last}: it was open, and is replaced`)
  }
  return [
    ...losses,
    `the other ids up to ${after.highestId}: never used again, and refused if they come back`,
    `session tokens of history ${historyEpochOf(before.membership)}: refused from now on`,
    'forced members and quorum sizes: there are none but majorities',
  ]
}

export function doneText({ after, survivor }: DisasterPlan): string {
  const role = survivor.role === 'voter' ? ' as before' : ', its role now voter'
  return lines([
    '',
    'Done. It is in the log, and told by an event at every start.',
    `Start node ${survivor.id}${role}: it serves alone. Leave the others off.`,
    `Add new nodes with ids above ${after.highestId}, fresh directories and ` +
      `historyEpoch ${historyEpochOf(after)}.`,
  ])
}
