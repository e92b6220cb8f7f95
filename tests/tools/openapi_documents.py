"""Two documents of the kind that APIs publish, for the tests of the import: 3.0 in YAML, 3.1 as a mapping."""

from __future__ import annotations

from typing import Any

SHOP_30 = """
openapi: 3.0.3
info: {title: Shop, version: 1.4.2}
servers:
  - url: https://{region}.shop.example/api/{version}
    variables:
      region: {default: eu, enum: [eu, us]}
      version: {default: v2}
security:
  - key: []
tags: [{name: orders}, {name: stock}]
paths:
  /items:
    parameters:
      - {name: X-Tenant, in: header, required: true, schema: {type: string}, description: Whose shop.}
    get:
      operationId: items.list
      summary: List items
      tags: [stock]
      security: [{}]
      parameters:
        - {name: tag, in: query, schema: {type: array, items: {type: string}}}
        - {name: price, in: query, style: deepObject, explode: true,
           schema: {type: object, properties: {min: {type: number}, max: {type: number}}}}
        - {name: limit, in: query,
           schema: {type: integer, minimum: 0, exclusiveMinimum: true, maximum: 100, default: 20}}
        - {name: Accept, in: header, schema: {type: string}}
      responses:
        '200':
          description: Items
          content:
            application/json:
              schema: {type: array, items: {$ref: '#/components/schemas/Item'}}
    post:
      operationId: items.create
      summary: Add an item
      description: Add an item to the shop.
      tags: [stock]
      requestBody: {$ref: '#/components/requestBodies/Item'}
      responses:
        201: {description: Made, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}
  /items/{id}:
    parameters:
      - $ref: '#/components/parameters/Id'
    get:
      operationId: items.get
      tags: [stock]
      responses:
        default: {description: An item, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}
    put:
      operationId: items.replace
      tags: [stock]
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}
      responses: {'204': {description: Done}}
    delete:
      operationId: items.delete
      tags: [stock]
      deprecated: true
      security: [{login: []}]
      responses: {'204': {description: Gone}}
  /items/{id}/photos:
    post:
      operationId: photos.add
      tags: [stock]
      parameters: [{$ref: '#/components/parameters/Id'}]
      requestBody:
        required: true
        content:
          multipart/form-data:
            schema:
              type: object
              required: [file]
              properties:
                file: {type: string, format: binary}
                caption: {type: string}
                place: {type: object, properties: {x: {type: integer}}}
            encoding: {file: {contentType: image/png}}
      responses: {'201': {description: Added}}
  /orders:
    post:
      operationId: orders.create
      tags: [orders]
      parameters:
        - {name: Idempotency-Key, in: header, required: true, schema: {type: string}}
      requestBody:
        required: true
        content:
          application/x-www-form-urlencoded:
            schema:
              type: object
              required: [item]
              properties:
                item: {type: string}
                sizes: {type: array, items: {type: integer}}
                address: {type: object, properties: {city: {type: string}}}
      responses: {'200': {description: OK}}
  /search:
    post:
      operationId: search
      tags: [stock]
      requestBody: {content: {application/json: {schema: {oneOf: [{type: string}, {type: object}]}}}}
      responses: {'200': {description: Found}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: string}}
  requestBodies:
    Item: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}
  schemas:
    Item:
      type: object
      required: [id, name]
      properties:
        id: {type: string, readOnly: true}
        name: {type: string, minLength: 1, example: Tent}
        price: {type: number, nullable: true, minimum: 0}
        secret_note: {type: string, writeOnly: true}
        parts: {type: array, items: {$ref: '#/components/schemas/Item'}}
        maker: {nullable: true, allOf: [{$ref: '#/components/schemas/Maker'}]}
    Maker:
      type: object
      properties: {name: {type: string}}
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key}
    login: {type: http, scheme: basic}
"""

NOTES_31: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Notes", "version": "7"},
    "servers": [{"url": "/notes/v1"}],
    "components": {
        "securitySchemes": {
            "token": {"type": "oauth2", "flows": {}},
            "query": {"type": "apiKey", "in": "query", "name": "api_key"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
        },
        "schemas": {
            "Note": {
                "type": "object",
                "required": ["text"],
                "properties": {
                    "text": {"type": ["string", "null"], "maxLength": 100},
                    "kind": {"const": "note"},
                    "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
                    "children": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Note", "description": "below"},
                    },
                },
            }
        },
    },
    "security": [{"token": ["write"]}, {"query": [], "cookie": []}],
    "paths": {
        "/{book}/notes{ext}": {
            "patch": {
                "operationId": "update note",
                "parameters": [
                    {"name": "book", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "ext", "in": "path", "required": True, "style": "label", "schema": {"type": "string"}},
                    {"name": "filter[by name]", "in": "query", "schema": {"type": "string"}},
                    {"name": "text", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "where", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/merge-patch+json": {"schema": {"$ref": "#/components/schemas/Note"}}},
                },
                "responses": {
                    "2XX": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Note"}}}}
                },
            }
        },
        "/export": {
            "get": {"operationId": "export", "responses": {"200": {"description": "All", "content": {"text/csv": {}}}}},
            "head": {"summary": "Is there one?", "responses": {"200": {"description": "Yes"}}},
        },
        "/import": {
            "put": {
                "operationId": "import",
                "requestBody": {"content": {"application/octet-stream": {}}, "required": True},
                "responses": {"200": {"description": "Yes"}},
            }
        },
    },
}
