// Order of the document with deletions last, so that the examples can be executed from top to bottom.
const deletionsLast = (one, other) => (one.get("method") === "delete") - (other.get("method") === "delete");

// Links of the document (OpenAPI, "Link Object") that carry a request body: copy it into the request body of the linked operation.
const followLinks = (response) => {
  if (!response.ok || !window.ui) return response;
  const system = ui.getSystem();
  const paths = system.specSelectors.specJson().get("paths")?.toJS() ?? {};
  const path = "/" + response.url.slice(new URL("./", location.href).href.length).split("?")[0];
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({ path, method, described })));
  const body = response.body;
  if (typeof body !== "object" || body === null) return response;
  for (const operation of operations.filter((each) => each.path === path)) {
    const links = Object.values(operation.described.responses[response.status]?.links ?? {});
    for (const link of links.filter((each) => each.requestBody)) {
      const target = operations.find((each) => each.described.operationId === link.operationId);
      const filled = Object.fromEntries(
        Object.entries(link.requestBody).map(([name, expression]) => [name, valueAt(expression, body)]));
      const value = JSON.stringify(filled, null, 2);
      const pathMethod = [target.path, target.method];
      system.oas3Actions.setRequestBodyValue({ value, pathMethod });
      // Otherwise Swagger UI restores the example when the operation is opened.
      system.oas3Actions.setRetainRequestBodyValueFlag({ value: true, pathMethod });
    }
    // After a log-in, send the access token with all requests of this page.
    if (links.length && typeof body.access === "string") ui.preauthorizeApiKey("bearer", body.access);
  }
  return response;
};

// The value of "$response.body#/name/name".
const valueAt = (expression, body) =>
  expression.replace("$response.body#/", "").split("/").reduce((value, name) => value?.[name], body);

window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#browser",
  deepLinking: true,
  docExpansion: "list",
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  operationsSorter: deletionsLast,
  responseInterceptor: followLinks,
});
