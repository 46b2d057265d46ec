// SPDX-License-Identifier: MIT
//
// The Node.js runtime: loads the function's handler and serves invocations with it.
//
// A function for `nodejs*` is a module (CommonJS or ES) with `handler(event, context[, callback])`, async or not.
// This is the bootstrap around it: what AWS's own does, in the same words (error types, messages, log lines), on
// the interpreter of the host. It speaks the Runtime API over one kept-alive socket.
//
//   _HANDLER               path/to/module.function; nested functions as module.a.b
//   LAMBDA_TASK_ROOT       where the function's files are
//   AWS_LAMBDA_LOG_LEVEL   least level that console's methods print (TRACE DEBUG INFO WARN ERROR FATAL)
'use strict';

const fs = require('fs');
const net = require('net');
const { Writable } = require('stream');
const path = require('path');
const { pathToFileURL } = require('url');
const util = require('util');

const API = '/2018-06-01/runtime/';
const RESPONSE_BYTES_MAX = 6 * 1024 * 1024 + 100;

// ---- the Runtime API

// One HTTP/1.1 connection, one exchange at a time. Made anew once when it turns out closed: it may have died while
// the function was frozen. Unreferenced while a handler runs, so that it does not keep the event loop alive.
class RuntimeApi {
    constructor(address) {
        const colon = address.lastIndexOf(':');
        this.host = address.slice(0, colon).replace(/^\[|\]$/g, '');
        this.port = Number(address.slice(colon + 1));
        this.address = address;
        this.socket = null;
    }

    async exchange(method, name, headers, body) {
        const wasUsed = this.socket !== null;
        try {
            return await this.exchangeOnce(method, name, headers, body);
        } catch (error) {
            if (!wasUsed) throw error;
            return this.exchangeOnce(method, name, headers, body);
        }
    }

    exchangeOnce(method, name, headers = '', body = '') {
        const reply = this.awaitReply();
        const size = Buffer.byteLength(body);
        const head = `${method} ${API}${name} HTTP/1.1\r\nHost: ${this.address}\r\n` +
            `User-Agent: lamina-node\r\n${headers}Content-Length: ${size}\r\n\r\n`;
        if (size < 65536) {
            this.socket.write(head + body);
        } else {
            this.socket.write(head);
            this.socket.write(body);
        }
        return reply;
    }

    // For a body that is not known yet: the head leaves, the caller writes chunks to the socket, and the promise is
    // for the answer.
    openStream(name, headers) {
        const reply = this.awaitReply();
        const socket = this.socket;
        socket.write(`POST ${API}${name} HTTP/1.1\r\nHost: ${this.address}\r\nUser-Agent: lamina-node\r\n${headers}` +
            'Transfer-Encoding: chunked\r\n\r\n');
        return { socket, reply };
    }

    // Connects when needed; settles when the next answer on the connection is complete.
    awaitReply() {
        if (this.socket === null) {
            this.socket = net.connect({ host: this.host, port: this.port, noDelay: true });
        }
        const socket = this.socket;
        const reply = new Reply();
        return new Promise((resolve, reject) => {
            const settle = (then, value) => {
                socket.removeAllListeners('data').removeAllListeners('error').removeAllListeners('close');
                socket.on('error', () => {}); // seen by the next exchange, as a closed connection
                if (then === reject || reply.closes) {
                    socket.destroy();
                    if (this.socket === socket) this.socket = null;
                } else {
                    socket.unref();
                }
                then(value);
            };
            socket.ref();
            socket.removeAllListeners('error');
            socket.on('data', (data) => {
                try {
                    if (reply.add(data)) settle(resolve, reply);
                } catch (error) {
                    settle(reject, error);
                }
            });
            socket.on('error', (error) => settle(reject, error));
            socket.on('close', () => settle(reject, new Error('the Runtime API closed the connection')));
            if (socket.destroyed || socket.readableEnded) {
                settle(reject, new Error('the Runtime API closed the connection'));
            }
        });
    }
}

// An answer, put together from the pieces that arrive.
class Reply {
    constructor() {
        this.data = null;
        this.headers = null;
        this.body = null;
    }

    // True when it is complete.
    add(piece) {
        this.data = this.data === null ? piece : Buffer.concat([this.data, piece]);
        if (this.headers === null && !this.parseHead()) return false;
        return this.isChunked ? this.readChunks() : this.readSized();
    }

    parseHead() {
        const end = this.data.indexOf('\r\n\r\n');
        if (end < 0) return false;
        const lines = this.data.toString('latin1', 0, end).split('\r\n');
        this.status = Number(lines[0].split(' ')[1]);
        this.headers = {};
        for (let i = 1; i < lines.length; i++) {
            const colon = lines[i].indexOf(':');
            this.headers[lines[i].slice(0, colon).toLowerCase()] = lines[i].slice(colon + 1).trim();
        }
        this.data = this.data.subarray(end + 4);
        this.closes = (this.headers.connection || '').toLowerCase() === 'close';
        this.isChunked = (this.headers['transfer-encoding'] || '').toLowerCase() === 'chunked';
        this.size = Number(this.headers['content-length'] || 0);
        this.chunks = [];
        return true;
    }

    // Large bodies are collected in a list and joined once.
    readSized() {
        if (this.data.length > 0) this.chunks.push(this.data);
        this.have = (this.have || 0) + this.data.length;
        this.data = null;
        if (this.have < this.size) return false;
        this.body = Buffer.concat(this.chunks).subarray(0, this.size);
        return true;
    }

    readChunks() {
        for (;;) {
            const end = this.data.indexOf('\r\n');
            if (end < 0) return false;
            const size = parseInt(this.data.toString('latin1', 0, end), 16);
            if (Number.isNaN(size)) throw new Error('the Runtime API sent a bad chunk');
            if (this.data.length < end + 2 + size + 2) return false;
            if (size === 0) {
                this.body = Buffer.concat(this.chunks);
                return true;
            }
            this.chunks.push(this.data.subarray(end + 2, end + 2 + size));
            this.data = this.data.subarray(end + 2 + size + 2);
        }
    }
}

// ---- logging: Lambda's line for each call of console's methods

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
let requestId = '';

function writeLine(level, text) {
    // Synchronous: a line that was printed is there even if the process dies of what comes next. One line a call:
    // line ends inside of it become carriage returns, as on AWS.
    const line = `${new Date().toISOString()}\t${requestId || 'undefined'}\t${level}\t${text.replace(/\n/g, '\r')}\n`;
    writeAll(Buffer.from(line));
}

function writeAll(bytes) {
    for (let at = 0; at < bytes.length;) {
        try {
            at += fs.writeSync(1, bytes, at);
        } catch (error) {
            if (error.code !== 'EAGAIN') return; // nobody reads the log any more
        }
    }
}

function startLogging() {
    const least = Math.max(0, LEVELS.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL || 'TRACE').toUpperCase()));
    const methods = { trace: 'TRACE', debug: 'DEBUG', log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR',
        fatal: 'FATAL' };
    for (const [method, level] of Object.entries(methods)) {
        const isShown = LEVELS.indexOf(level) >= least;
        console[method] = (...values) => {
            if (isShown) writeLine(level, util.format(...values));
        };
    }
}

// ---- errors

class Fault extends Error {
    constructor(type, message) {
        super(message);
        this.name = type;
        this.stack = `${type}: ${message}`;
    }
}

function errorOf(thrown) {
    if (util.types.isNativeError(thrown) || thrown instanceof Error) {
        return {
            errorType: String(thrown.name),
            errorMessage: String(thrown.message),
            trace: String(thrown.stack || '').split('\n'),
        };
    }
    return { errorType: typeof thrown, errorMessage: String(thrown), trace: [] };
}

function logError(title, error) {
    writeLine('ERROR', `${title}\t${JSON.stringify({ ...error, stack: error.trace, trace: undefined })}`);
}

// Posts an error. Its type travels as a header too, in the one form that the platform counts by.
function report(api, name, error) {
    const isCounted = /^(Runtime|Function)\.[A-Za-z]+$/.test(error.errorType);
    const type = isCounted ? error.errorType : 'Function.Unhandled';
    return api.exchange('POST', name,
        `Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: ${type}\r\n`, JSON.stringify(error));
}

// ---- the handler

const EXTENSIONS = ['', '.js', '.mjs', '.cjs'];

function findModule(root, name) {
    const base = path.resolve(root, name);
    for (const extension of EXTENSIONS) {
        const file = base + extension;
        if (fs.existsSync(file) && fs.statSync(file).isFile()) return file;
    }
    try {
        return require.resolve(name, { paths: [root, path.join(root, '..')] });
    } catch {
        throw new Fault('Runtime.ImportModuleError', `Error: Cannot find module '${path.basename(name)}'`);
    }
}

function isModule(file) {
    if (file.endsWith('.mjs')) return true;
    if (!file.endsWith('.js')) return false;
    for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
        const description = path.join(folder, 'package.json');
        if (fs.existsSync(description)) {
            try {
                return JSON.parse(fs.readFileSync(description, 'utf8')).type === 'module';
            } catch {
                return false;
            }
        }
        if (folder === path.dirname(folder)) return false;
    }
}

async function load(file) {
    try {
        return isModule(file) ? await import(pathToFileURL(file).href) : require(file);
    } catch (error) {
        if (error instanceof SyntaxError) throw new Fault('Runtime.UserCodeSyntaxError', `SyntaxError: ${error.message}`);
        if (error && (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND')) {
            throw new Fault('Runtime.ImportModuleError', `Error: ${error.message}`);
        }
        throw error;
    }
}

async function findHandler(root, name) {
    const slash = name.lastIndexOf('/') + 1;
    const dot = name.indexOf('.', slash);
    if (name.includes('..') || dot <= slash || dot + 1 === name.length) throw new Fault('Runtime.MalformedHandlerName', 'Bad handler');
    const module = await load(findModule(root, name.slice(0, dot)));
    let value = module;
    for (const part of name.slice(dot + 1).split('.')) {
        value = value && (value[part] !== undefined ? value[part] : value.default && value.default[part]);
    }
    if (value === undefined) throw new Fault('Runtime.HandlerNotFound', `${name} is undefined or not exported`);
    if (typeof value !== 'function') throw new Fault('Runtime.HandlerNotFound', `${name} is not a function`);
    return value;
}

// ---- one invocation

// Headers hold UTF-8, read as Latin-1.
function parseHeader(text) {
    return text ? JSON.parse(Buffer.from(text, 'latin1').toString('utf8')) : undefined;
}

function makeContext(headers) {
    const deadline = Number(headers['lambda-runtime-deadline-ms'] || 0);
    return {
        callbackWaitsForEmptyEventLoop: true,
        functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
        functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
        memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
        logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
        logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
        clientContext: parseHeader(headers['lambda-runtime-client-context']),
        identity: parseHeader(headers['lambda-runtime-cognito-identity']),
        invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
        awsRequestId: headers['lambda-runtime-aws-request-id'],
        getRemainingTimeInMillis: () => Math.max(deadline - Date.now(), 0),
    };
}

let whenIdle = null; // what to do once the event loop has nothing left; set while a handler runs

// Calls the handler in each of the ways a handler may answer: by a promise, by the callback, by context.done and
// its kin. A callback's answer waits for the event loop to empty, unless the handler said otherwise. A handler that
// neither returns a promise nor ever calls back answers null once nothing is left to do.
function callHandler(handler, event, context) {
    return new Promise((resolve, reject) => {
        const done = (error, result) => {
            const settle = () => (error !== undefined && error !== null ? reject(error) : resolve(result));
            if (context.callbackWaitsForEmptyEventLoop) whenIdle = settle;
            else setImmediate(settle);
        };
        context.done = done;
        context.succeed = (result) => done(null, result);
        context.fail = (error) => done(error === undefined || error === null ? 'handled' : error);
        whenIdle = () => resolve(null);
        const returned = handler(event, context, done);
        if (returned && typeof returned.then === 'function') {
            // An async handler whose promise nothing can settle any more ends the process, as on AWS.
            whenIdle = () => reject(new Fault('Runtime.ExitError', 'the handler\'s promise was never settled'));
            returned.then(resolve, reject);
        }
    }).finally(() => {
        whenIdle = null;
    });
}

// ---- streamed answers

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');

// What a handler wrapped in awslambda.streamifyResponse writes to. Its head leaves with the first bytes; a write waits
// until the platform takes more.
class ResponseStream extends Writable {
    constructor(api, id) {
        super({ highWaterMark: 65536 });
        this.api = api;
        this.id = id;
        this.contentType = 'application/octet-stream';
        this.hasBegun = false;
        this.trailers = '';
        this.on('error', () => {}); // told by `reply`
    }

    setContentType(type) {
        if (/^[\x20-\x7e]{1,127}$/.test(type)) this.contentType = type;
    }

    begin() {
        if (this.hasBegun) return;
        this.hasBegun = true;
        const { socket, reply } = this.api.openStream(`invocation/${this.id}/response`,
            `Content-Type: ${this.contentType}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n` +
            'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n');
        this.socket = socket;
        this.reply = reply;
        reply.catch((error) => this.destroy(error)); // nobody takes it any more: the handler's writes fail
    }

    _write(chunk, encoding, done) {
        if (chunk.length === 0) return done();
        if (this.prelude) {
            const prelude = this.prelude;
            this.prelude = null;
            chunk = Buffer.concat([prelude, chunk]);
        }
        this.begin();
        this.socket.write(`${chunk.length.toString(16)}\r\n`);
        this.socket.write(chunk);
        this.socket.write('\r\n', done);
        return undefined;
    }

    _final(done) {
        const end = () => {
            this.begin();
            this.socket.write(`0\r\n${this.trailers}\r\n`, done);
        };
        if (!this.prelude) return end();
        const prelude = this.prelude; // an answer of nothing but its head
        this.prelude = null;
        return this._write(prelude, null, end);
    }

    // Ends a stream that began with its handler's error.
    fail(error) {
        this.trailers = `Lambda-Runtime-Function-Error-Type: ${/^[\x21-\x7e]+$/.test(error.errorType) ? error.errorType : 'Error'}\r\n` +
            `Lambda-Runtime-Function-Error-Body: ${Buffer.from(JSON.stringify(error)).toString('base64')}\r\n`;
        this.end();
    }
}

// As AWS's runtime has it: a status and headers in front of the body, for function URLs.
class HttpResponseStream {
    static from(stream, prelude) {
        stream.setContentType('application/vnd.awslambda.http-integration-response');
        stream.prelude = Buffer.concat([Buffer.from(JSON.stringify(prelude)), Buffer.alloc(8)]);
        return stream;
    }
}

globalThis.awslambda = {
    streamifyResponse: (handler, options) => {
        handler[STREAMING] = 'response';
        void options;
        return handler;
    },
    HttpResponseStream,
};

async function serveStream(api, handler, event, context) {
    const stream = new ResponseStream(api, context.awsRequestId);
    const hungUp = () => {
        process.stderr.write(`lamina-node: stream: ${stream.errored ? stream.errored.message : 'destroyed'}\n`);
        if (stream.socket) stream.socket.destroy(); // the next invocation makes a new connection
    };
    try {
        await callHandler((e, c) => Promise.resolve(handler(e, stream, c)), event, context);
        stream.end();
    } catch (thrown) {
        // A handler whose stream was cut off often waits for it in vain: that is not its own error.
        if (stream.destroyed) return hungUp();
        const error = errorOf(thrown);
        logError('Invoke Error ', error);
        if (!stream.hasBegun) return report(api, `invocation/${context.awsRequestId}/error`, error);
        stream.fail(error);
    }
    const isFinished = await new Promise((resolve) => {
        if (stream.writableFinished || stream.destroyed) resolve(stream.writableFinished);
        else stream.on('finish', () => resolve(true)).on('close', () => resolve(stream.writableFinished));
    });
    if (!isFinished) return hungUp();
    return stream.reply.catch(hungUp);
}

// ---- one invocation, answered whole

function toJson(result) {
    let text;
    try {
        text = JSON.stringify(result === undefined ? null : result);
    } catch (error) {
        throw new Fault('Runtime.MarshalError', `Unable to stringify response body: ${error.message}`);
    }
    if (text === undefined) text = 'null'; // a function or a symbol
    const size = Buffer.byteLength(text);
    if (size > RESPONSE_BYTES_MAX) {
        throw new Fault('Function.ResponseSizeTooLarge', `Response payload size (${size} bytes) exceeded maximum ` +
            `allowed payload size (${RESPONSE_BYTES_MAX} bytes).`);
    }
    return text;
}

function parseEvent(body) {
    try {
        return body.length > 0 ? JSON.parse(body.toString('utf8')) : null;
    } catch (error) {
        throw new Fault('Runtime.UnmarshalError', `Unable to parse the event: ${error.message}`);
    }
}

async function serveOne(api, handler) {
    const next = await api.exchange('GET', 'invocation/next');
    if (next.status !== 200) throw new Error(`the Runtime API answered ${next.status} to a request for work`);
    requestId = next.headers['lambda-runtime-aws-request-id'];
    const trace = next.headers['lambda-runtime-trace-id'];
    if (trace) process.env._X_AMZN_TRACE_ID = trace;
    else delete process.env._X_AMZN_TRACE_ID;
    let answer;
    try {
        const event = parseEvent(next.body);
        const context = makeContext(next.headers);
        if (handler[STREAMING]) return await serveStream(api, handler, event, context);
        answer = toJson(await callHandler(handler, event, context));
    } catch (thrown) {
        const error = errorOf(thrown);
        logError('Invoke Error ', error);
        await report(api, `invocation/${requestId}/error`, error);
        return undefined;
    }
    const reply = await api.exchange('POST', `invocation/${requestId}/response`, 'Content-Type: application/json\r\n', answer);
    if (reply.status === 413) {
        await report(api, `invocation/${requestId}/error`,
            errorOf(new Fault('Function.ResponseSizeTooLarge', reply.body.toString('utf8'))));
    } else if (reply.status >= 500) {
        throw new Error(`the Runtime API answered ${reply.status} to an answer`);
    }
    return undefined;
}

// ---- the process

// What no handler caught: the caller is told, and the process ends, since nobody knows what state it is in.
function watchForStrays(api) {
    const end = (title, type, status) => (thrown) => {
        const error = errorOf(thrown);
        if (type) {
            error.errorMessage = `${error.errorType}: ${error.errorMessage}`;
            error.errorType = type;
        }
        logError(title, error);
        // A connection of its own: the other one may be in the middle of something.
        const name = requestId ? `invocation/${requestId}/error` : 'init/error';
        report(new RuntimeApi(api.address), name, error).finally(() => process.exit(status));
    };
    process.on('uncaughtException', end('Uncaught Exception ', null, 129));
    process.on('unhandledRejection', end('Unhandled Promise Rejection ', 'Runtime.UnhandledPromiseRejection', 128));
    // The connection is unreferenced while a handler runs: the loop is empty when all that it began has ended.
    process.on('beforeExit', () => {
        const settle = whenIdle;
        whenIdle = null;
        if (settle) setImmediate(settle);
    });
}

async function main() {
    const api = new RuntimeApi(process.env.AWS_LAMBDA_RUNTIME_API);
    startLogging();
    watchForStrays(api);
    let handler;
    try {
        handler = await findHandler(process.env.LAMBDA_TASK_ROOT || '/var/task', process.env._HANDLER || '');
    } catch (thrown) {
        const error = errorOf(thrown);
        logError('Uncaught Exception ', error);
        await report(api, 'init/error', error);
        process.exit(1);
    }
    try {
        for (;;) await serveOne(api, handler);
    } catch (error) {
        process.stderr.write(`lamina-node: ${error.message}\n`);
        process.exit(1);
    }
}

module.exports = { main };
