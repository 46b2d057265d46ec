// SPDX-License-Identifier: MIT
//
// Runs a model by another binding of ONNX Runtime (npm onnxruntime-node), for the tests to compare
// with. Reads one job from stdin, writes one answer to stdout:
//
//   {"binding": "....node", "model": "x.onnx",
//    "runs": [{"x": {"type": "float32", "dims": [1,2], "base64": "..."}}],
//    "carry": {"stateN": "state"}, "outputs": ["y"]}
//   [{"y": {"type": "float32", "dims": [1,2], "base64": "..."}}]
//
// `carry`: outputs of one run that are inputs of the next, for models that remember. The native
// binding is used without the package's JavaScript, which needs further packages; all it asks of us
// is a class for tensors.
'use strict';

class Tensor {
    constructor(type, data, dims) {
        this.type = type;
        this.data = data;
        this.dims = dims;
        this.location = 'cpu';
    }
}

const arrays = {
    float32: Float32Array, float64: Float64Array, int8: Int8Array, int16: Int16Array,
    int32: Int32Array, int64: BigInt64Array, uint8: Uint8Array, uint16: Uint16Array,
    uint32: Uint32Array, uint64: BigUint64Array, bool: Uint8Array, float16: Uint16Array,
};

function decode(tensor) {
    const bytes = Uint8Array.from(Buffer.from(tensor.base64, 'base64'));
    return new Tensor(tensor.type, new arrays[tensor.type](bytes.buffer), tensor.dims);
}

function encode(tensor) {
    const data = tensor.data;
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return { type: tensor.type, dims: Array.from(tensor.dims), base64: bytes.toString('base64') };
}

const job = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const binding = require(job.binding);
binding.initOrtOnce(4, Tensor, true);
const session = new binding.InferenceSession();
session.loadModel(job.model, { intraOpNumThreads: 1 });

const answers = [];
let carried = {};
for (const run of job.runs) {
    const feeds = { ...carried };
    for (const name in run) feeds[name] = decode(run[name]);
    const fetches = {};
    const wanted = job.outputs.concat(Object.keys(job.carry || {}));
    for (const name of wanted) fetches[name] = null;
    const results = session.run(feeds, fetches, {});
    carried = {};
    for (const name in job.carry || {}) carried[job.carry[name]] = results[name];
    const answer = {};
    for (const name of job.outputs) answer[name] = encode(results[name]);
    answers.push(answer);
}
process.stdout.write(JSON.stringify(answers));
