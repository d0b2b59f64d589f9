import { channel, type Channel } from 'node:diagnostics_channel'

/** The message on every channel. */
export interface KQueueEvent {
  /** The queue's number in this process, as in a {@link KQueueHandle}. */
  readonly kqueue: number
  /** The end that it is about, as {@link KQueue.consumer} has it. */
  readonly consumer: number
}

type EventName = 'created' | 'attached' | 'released' | 'closed'

const channels: Record<EventName, Channel> = {
  created: channel('x.kevent.created'),
  attached: channel('x.kevent.attached'),
  released: channel('x.kevent.released'),
  closed: channel('x.kevent.closed'),
}

export function publishEvent(name: EventName, event: KQueueEvent): void {
  if (channels[name].hasSubscribers) channels[name].publish(event)
}
