// Shows this server's document. Nobody else is asked for anything: no validator, and no document that a link names.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  layout: "BaseLayout",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  filter: true,
  queryConfigEnabled: false,
  validatorUrl: null,
});
