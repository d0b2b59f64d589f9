import { lastPath } from './servers/bodies.js'

/**
 * @typedef {object} LoadScenario  Requests as fast as they are answered.
 * @property {'load'} kind
 * @property {string} name
 * @property {string} title
 * @property {string} path                     what is asked for; see servers/bodies.js
 * @property {number} connections              at once
 * @property {Record<string, string>} headers  of each request, beside Host
 */

/**
 * @typedef {object} IdleScenario  Connections that have had one answer each and wait.
 * @property {'idle'} kind
 * @property {string} name
 * @property {string} title
 * @property {number} connections  at once, as far as the limit of open descriptors lets them be
 */

/** @typedef {LoadScenario | IdleScenario} Scenario */

/** What Chromium 156 sends when a page is loaded again, with the cookie of a session: 700 bytes with Host. */
const chromium = {
  Connection: 'keep-alive',
  'Cache-Control': 'max-age=0',
  'sec-ch-ua': '"Not:A-Brand";v="8", "Chromium";v="156"',
  'sec-ch-ua-mobile': '?0',
  'sec-ch-ua-platform': '"Linux"',
  'Upgrade-Insecure-Requests': '1',
  'User-Agent':
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
  Accept:
    'text/html,application/xhtml+xml,application/xml;q=0.9,image/jxl,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7',
  'Sec-Fetch-Site': 'none',
  'Sec-Fetch-Mode': 'navigate',
  'Sec-Fetch-User': '?1',
  'Sec-Fetch-Dest': 'document',
  'Accept-Encoding': 'gzip, deflate, br, zstd',
  'Accept-Language': 'en-US,en;q=0.9',
  Cookie: 'session=0f8fad5bd9cb469fa16570867728',
}

/** @param {string} name @param {string} title @param {Partial<LoadScenario>} [more] @returns {LoadScenario} */
const load = (name, title, more) => ({
  kind: 'load',
  name,
  title,
  path: '/',
  connections: 64,
  headers: {},
  ...more,
})

/** In the order in which a round goes through them. @type {Scenario[]} */
export const scenarios = [
  load('hello-64', '13-byte bodies on 64 keep-alive connections'),
  load('hello-256', '13-byte bodies on 256 keep-alive connections', { connections: 256 }),
  load('hello-1000', '13-byte bodies on 1000 keep-alive connections', { connections: 1000 }),
  load('body-1k', '1 KiB bodies on 256 keep-alive connections', { connections: 256, path: '/1024' }),
  load('body-64k', '64 KiB bodies on 64 keep-alive connections', { path: '/65536' }),
  load('browser-head', '13-byte bodies for the 700-byte head of a browser, 64 connections', {
    headers: chromium,
  }),
  load('connection-per-request', '13-byte bodies, a connection for each request, 64 at once', {
    path: lastPath,
    headers: { Connection: 'close' },
  }),
  {
    kind: 'idle',
    name: 'idle-memory',
    title: 'memory of idle keep-alive connections, each after one 13-byte body',
    connections: 10_000,
  },
]

/** Those of a run that names none. */
export const quickScenarios = ['hello-64']
