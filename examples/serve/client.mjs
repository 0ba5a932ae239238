// Stream 16-bit PCM from standard input to `emo-listen serve`, and print its events as they come.
//
//   ffmpeg -i talk.mp3 -f s16le -ac 1 -ar 16000 - |
//     node examples/serve/client.mjs ws://127.0.0.1:8765/v1/stream
//
// Node 22 or newer; Node 20 needs --experimental-websocket.
const token = process.env.EMO_LISTEN_TOKEN;
const protocols = token ? ["emo-listen", `bearer.${token}`] : [];
const server = new WebSocket(process.argv[2], protocols);

server.onopen = async () => {
  server.send(JSON.stringify({ format: "s16le", sampling_rate: 16000 }));
  for await (const block of process.stdin) server.send(block);
  server.send(JSON.stringify({ type: "end" }));
};
server.onmessage = ({ data }) => console.log(data);
server.onclose = ({ code }) => code === 1000 || process.exit(1);
server.onerror = () => process.exit(1);
