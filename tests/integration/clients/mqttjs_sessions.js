// What both mqtt.js drivers share: the commands of tests/src/client.rs on top of mqtt.js. A classic script, so that
// Node and a page load the same file.

globalThis.createSessions = function createSessions(mqtt) {
  // Longest wait for an acknowledgement, in milliseconds; a slow machine is no failure, silence is.
  const ANSWER_TIMEOUT_MS = 30000;
  const sessions = new Map();

  function fromHex(text) {
    const bytes = new Uint8Array(text.length / 2);
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
    return typeof Buffer === "undefined" ? bytes : Buffer.from(bytes);
  }

  function toHex(bytes) {
    let text = "";
    for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
    return text;
  }

  function within(milliseconds, what, promise) {
    let timer;
    const timeout = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no ${what} within ${milliseconds} ms`)), milliseconds);
    });
    return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
  }

  function describe(packet) {
    const properties = packet.properties ?? {};
    const pairs = [];
    for (const [key, value] of Object.entries(properties.userProperties ?? {})) {
      for (const one of [value].flat()) pairs.push([key, one]);
    }
    return {
      topic: packet.topic,
      payload: toHex(packet.payload),
      qos: packet.qos,
      retain: packet.retain,
      properties: {
        user_properties: pairs,
        response_topic: properties.responseTopic ?? null,
        correlation_data: properties.correlationData ? toHex(properties.correlationData) : null,
        content_type: properties.contentType ?? null,
        message_expiry_s: properties.messageExpiryInterval ?? null,
        payload_format: properties.payloadFormatIndicator === undefined ? null : Number(properties.payloadFormatIndicator),
      },
      subscription_ids: [properties.subscriptionIdentifier ?? []].flat(),
    };
  }

  function publishProperties(wanted) {
    const properties = {};
    if (wanted.user_properties?.length) {
      properties.userProperties = {};
      for (const [key, value] of wanted.user_properties) (properties.userProperties[key] ??= []).push(value);
    }
    if (wanted.response_topic != null) properties.responseTopic = wanted.response_topic;
    if (wanted.correlation_data != null) properties.correlationData = fromHex(wanted.correlation_data);
    if (wanted.content_type != null) properties.contentType = wanted.content_type;
    if (wanted.message_expiry_s != null) properties.messageExpiryInterval = wanted.message_expiry_s;
    if (wanted.payload_format != null) properties.payloadFormatIndicator = wanted.payload_format === 1;
    return properties;
  }

  const operations = {
    async connect(command) {
      const options = {
        protocolVersion: command.version,
        clientId: command.client_id,
        clean: command.clean_start,
        reconnectPeriod: 0,
        connectTimeout: ANSWER_TIMEOUT_MS,
      };
      if (command.version === 5 && command.session_expiry_s != null) {
        options.properties = { sessionExpiryInterval: command.session_expiry_s };
      }
      if (command.will) options.will = { ...command.will, payload: fromHex(command.will.payload) };
      const address = `${command.host}:${command.port}`;
      const client = mqtt.connect(command.transport === "ws" ? `ws://${address}/mqtt` : `mqtt://${address}`, options);
      const session = { client, messages: [], waiting: null, reasonCode: null, isClosed: false };
      client.on("message", (_topic, _payload, packet) => {
        const message = describe(packet);
        const { waiting } = session;
        session.waiting = null;
        if (waiting) waiting(message);
        else session.messages.push(message);
      });
      client.on("disconnect", (packet) => {
        session.reasonCode = packet.reasonCode ?? 0;
      });
      session.closed = new Promise((resolve) => {
        client.on("close", () => {
          session.isClosed = true;
          resolve();
        });
      });
      const accepted = new Promise((resolve, reject) => {
        client.once("connect", resolve);
        client.on("error", reject);
        client.once("close", () => reject(new Error("the connection was closed before CONNACK")));
      });
      const connack = await within(ANSWER_TIMEOUT_MS, "CONNACK", accepted);
      sessions.set(command.as, session);
      return { session_present: connack.sessionPresent, reason_code: connack.reasonCode ?? connack.returnCode };
    },

    async subscribe(command) {
      const { client } = sessions.get(command.as);
      const filters = {};
      for (const wanted of command.filters) {
        filters[wanted.filter] = {
          qos: wanted.qos,
          nl: wanted.no_local,
          rap: wanted.retain_as_published,
          rh: wanted.retain_handling,
        };
      }
      const options = {};
      if (command.subscription_id != null) options.properties = { subscriptionIdentifier: command.subscription_id };
      const granted = await within(ANSWER_TIMEOUT_MS, "SUBACK", client.subscribeAsync(filters, options));
      return { reason_codes: granted.map((one) => one.qos) };
    },

    async unsubscribe(command) {
      await within(ANSWER_TIMEOUT_MS, "UNSUBACK", sessions.get(command.as).client.unsubscribeAsync(command.filter));
      return {};
    },

    async publish(command) {
      const { client } = sessions.get(command.as);
      const options = { qos: command.qos, retain: command.retain };
      if (client.options.protocolVersion === 5) options.properties = publishProperties(command.properties);
      const sent = client.publishAsync(command.topic, fromHex(command.payload), options);
      await within(ANSWER_TIMEOUT_MS, "acknowledgement of the publication", sent);
      return {};
    },

    async receive(command) {
      const session = sessions.get(command.as);
      if (session.messages.length > 0) return { message: session.messages.shift() };
      const arrived = new Promise((resolve) => {
        session.waiting = resolve;
      });
      try {
        return { message: await within(command.timeout_ms, "message", arrived) };
      } catch {
        return { message: null };
      } finally {
        session.waiting = null;
      }
    },

    async disconnect(command) {
      const session = sessions.get(command.as);
      sessions.delete(command.as);
      await within(ANSWER_TIMEOUT_MS, "end of the connection", session.client.endAsync());
      return {};
    },

    async kill(command) {
      const session = sessions.get(command.as);
      sessions.delete(command.as);
      // Ends the connection without DISCONNECT.
      session.client.stream.destroy();
      await within(ANSWER_TIMEOUT_MS, "end of the connection", session.closed);
      return {};
    },

    async closed(command) {
      const session = sessions.get(command.as);
      await within(command.timeout_ms, "end of the connection", session.closed).catch(() => {});
      return { closed: session.isClosed, reason_code: session.reasonCode };
    },
  };

  return async function answer(command) {
    try {
      return await operations[command.op](command);
    } catch (error) {
      return { error: `${error.name}: ${error.message}${error.code === undefined ? "" : ` (code ${error.code})`}` };
    }
  };
};
