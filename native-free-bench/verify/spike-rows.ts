/** `limit` is the yardstick of all other rows: it beside the raw spikes. */
import { figureOf, ratiosOf } from './figure.ts'
import type { Row } from './rows.ts'
import type { SpikeName } from './spike.ts'

const PAYLOAD = 16
const INFLIGHT = 262_144
const BOUND = 0.6

const besideSpike = (transport: SpikeName): Row => ({
  name: `spike-${transport}`,
  async run({ alternate, trial, spike, durationS }) {
    const load = { payload: PAYLOAD, inflight: INFLIGHT, seconds: durationS }
    const flags = { engine: 'limit', transport, payload: `${PAYLOAD}`, inflight: `${INFLIGHT}` }
    const { raw, limit } = await alternate({
      raw: () => spike(transport, load),
      limit: async () => (await trial(`limit, ${transport}`, flags)).throughputPerS,
    })
    const claim = `limit >= ${BOUND} x the raw spike over ${transport}`
    const name = `spike-${transport}`
    const promise = { name, claim, sense: 'at least', bound: BOUND, unit: 'ratio' } as const
    return [figureOf(promise, ratiosOf(limit, raw))]
  },
})

export const SPIKE_ROWS: readonly Row[] = [besideSpike('memory'), besideSpike('tcp')]
