/**
 * The shapes of PROTOCOL.md for editors and type checkers. Nothing here runs.
 *
 * @typedef {{id: string, name: string, hue: number | null}} Role
 * @typedef {{id: string, name: string, username: string, bot: boolean, hue: number, roles: Role[], note: string | null}} User
 * @typedef {{id: string, name: string, kind: "text" | "thread" | "dm" | "forum" | "voice" | "category", parent: string | null,
 *   age_restricted: boolean, topic: string | null, archived: boolean, last_message: string | null}} Channel
 * @typedef {{see: boolean, write: boolean, attach: boolean, use_commands: boolean, react: boolean, why: string | null}} May
 * @typedef {{id: string, name: string, state: "starting" | "online" | "offline"}} Bot
 * @typedef {{now_s: number, advanced_s: number}} Clock
 * @typedef {"string" | "integer" | "boolean" | "user" | "channel" | "role" | "mentionable" | "number" | "attachment"} OptionType
 * @typedef {{name: string, value: string | number}} Choice
 * @typedef {{name: string, description: string, type: OptionType, required: boolean, choices: Choice[] | null,
 *   autocomplete: boolean, min: number | null, max: number | null}} Option
 * @typedef {{kind: "slash" | "message" | "user", name: string, description: string, options: Option[]}} Command
 * @typedef {{id: string | null, name: string, kind: "image" | "video" | "audio" | "file", content_type: string, size: number | null,
 *   url: string | null, external: string | null, width: number | null, height: number | null, description: string | null,
 *   spoiler: boolean}} Media
 * @typedef {{id: string, channel: string, author: User, created_s: number, edited_s: number | null,
 *   kind: "default" | "reply" | "command" | "menu", text: string, html: string, ephemeral: boolean, loading: boolean,
 *   mentions_me: boolean, reply: {id: string, author: User | null, html: string, gone: boolean} | null,
 *   used: {user: User, name: string, kind: "command" | "menu" | "component"} | null, attachments: Media[], embeds: any[],
 *   components: any[], reactions: {emoji: string, count: number, mine: boolean}[],
 *   may: {edit: boolean, delete: boolean, reply: boolean, use: boolean}, v2: boolean}} Message
 * @typedef {{id: string, name: string, size: number, content_type: string, width: number | null, height: number | null, url: string}} Upload
 * @typedef {{id: string, description: string | null, spoiler: boolean}} FileRef
 * @typedef {{interaction: string, title: string, fields: any[]}} Modal
 * @typedef {{interaction: string, result: "message" | "update" | "modal" | "none", modal: Modal | null, error: string | null}} Outcome
 * @typedef {{n: number, at_s: number, kind: "rest" | "gateway" | "api", method: string, what: string, status: number | null,
 *   ms: number | null, faulted: boolean, note: string | null}} Entry
 * @typedef {{name: string, limit: number | null, window_s: number, used: number, windows: number, admitted: number, refused: number}} Bucket
 * @typedef {{name: string, label: string, on: boolean, momentary: boolean, hits: number, help: string}} Fault
 */
export {};
